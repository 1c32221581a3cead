//! Tests of rendering and checking as a whole. No I/O.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn context() -> Value {
    json!({
        "database": {"host": "db", "name": "t1", "password": "p'w\\d", "port": 5432, "user": "u"},
        "instance": {"id": "i-7", "host": "a.example"},
        "tables": [{"name": "x"}, {"name": "y"}],
        "nothing": null,
        "on": true,
    })
}

fn ok(source: &str) -> String {
    render("t", source, &context()).unwrap()
}

fn err(source: &str) -> String {
    render("files[/etc/x.conf]", source, &context()).unwrap_err().to_string()
}

#[test]
fn values_are_written_as_they_are_and_the_last_newline_stays() {
    assert_eq!(
        ok("uri=postgresql://{{ database.user }}@{{ database.host }}:{{ database.port }}/\n"),
        "uri=postgresql://u@db:5432/\n"
    );
    assert_eq!(ok("<{{ '<&>' }}> {{ on }}"), "<<&>> true");
    assert_eq!(render("x.json", "{{ '\"' }}", &json!({})).unwrap(), "\"");
}

#[test]
fn an_unknown_variable_is_named_with_its_line_and_what_is_known() {
    assert_eq!(
        err("a\nb\n{{ database.pasword }}\n"),
        "files[/etc/x.conf] line 3: unknown variable \"database.pasword\"; known under \"database\": host, name, password, port, user"
    );
    assert_eq!(
        err("{{ datbase.password }}"),
        "files[/etc/x.conf] line 1: unknown variable \"datbase.password\"; known: database, instance, nothing, on, tables"
    );
    let said = err("{{ database['pasword'] }}");
    assert!(said.contains("\"database.pasword\"; known under \"database\""), "{said}");
    assert!(err("{% for t in tables %}\n{{ t.nme }}{% endfor %}").contains("line 2: unknown variable \"t.nme\""));
}

#[test]
fn unknown_variables_fail_everywhere_but_in_is_defined() {
    for source in [
        "{% if database.pasword %}x{% endif %}",
        "{% if database.pasword == 'x' %}x{% endif %}",
        "{% if not database.pasword %}x{% endif %}",
        "{% if 'x' in database.pasword %}x{% endif %}",
        "{% for x in database.pasword %}x{% endfor %}",
        "{{ database.pasword|lower }}",
        "{{ database.pasword|length }}",
        "{{ database.pasword|tojson }}",
        "{{ database.pasword|argon2(instance.id) }}",
        "{{ 'x'|argon2(database.pasword) }}",
        "{{ database.pasword|join(',') }}",
        "{{ 'x' ~ database.pasword }}",
        "{{ database.pasword or 'x' }}",
        "{% if database.pasword is string %}x{% endif %}",
        "{% if database.pasword is startingwith('x') %}x{% endif %}",
        "{% set x = database.pasword %}{{ x }}",
    ] {
        let said = err(source);
        assert!(said.contains("unknown variable"), "{source}: {said}");
        assert!(said.contains("pasword") || source.contains("set x"), "{source}: {said}");
    }
    assert_eq!(ok("{% if database.pasword is defined %}x{% else %}y{% endif %}"), "y");
    assert_eq!(ok("{% if smtp is undefined %}x{% endif %}"), "x");
}

#[test]
fn null_lists_and_maps_are_not_written() {
    assert!(err("{{ nothing }}").contains("null"));
    assert!(err("{{ database }}").contains("tojson"));
    assert_eq!(ok("{{ nothing is none }}{{ nothing or 'x' }}{{ nothing|tojson }}"), "truexnull");
}

#[test]
fn nothing_reaches_out_of_the_text() {
    for word in ["include 'x'", "import 'x' as y", "from 'x' import y", "extends 'x'", "macro m()"] {
        assert!(err(&format!("{{% {word} %}}")).contains("without other files"), "{word}");
    }
    for source in
        ["{{ range(9) }}", "{{ now() }}", "{{ env('HOME') }}", "{{ database.keys() }}", "{% do x() %}", "{{ debug() }}"]
    {
        assert!(err(source).contains("do not exist here"), "{source}");
    }
    assert!(err("{{ x|default('y') }}").contains("is defined"));
}

#[test]
fn everything_is_bounded() {
    assert!(err(&"x".repeat(SOURCE_MAX + 1)).contains("bytes"));
    let long: Vec<u32> = (0..3000).collect();
    let nested = "{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}";
    assert!(render("t", nested, &json!({ "l": long })).unwrap_err().to_string().contains("does not end"));
    let wide = json!({ "l": long, "t": "x".repeat(1000) });
    assert!(render("t", "{% for a in l %}{{ t }}{% endfor %}", &wide).unwrap_err().to_string().contains("larger"));
    let double = "{% set x = 'aaaaaaaa' %}".to_owned() + &"{% set x = x ~ x %}".repeat(40);
    assert!(err(&double).contains("joined"));
    assert!(err("{% for x in ['a'] %}{% for y in [x ~ x] %}{% endfor %}{% endfor %}").contains("joined"));
    assert!(err("{{ 'x' * 99999999 }}").contains("numbers only"));
    assert_eq!(ok("{{ database.port|int * 2 }}"), "10864");
    assert!(err("{% for a in [1,2,3,4,5,6,7,8,9] %}{{ 'x'|bcrypt('y') }}{% endfor %}").contains("too much work"));
    for deep in ["(".repeat(5000), "-".repeat(5000), "not ".repeat(5000), "a~".repeat(50_000), "[".repeat(300)] {
        err(&format!("{{{{ {deep} }}}}"));
    }
    err(&("{% if on %}".to_owned() + &"{% elif on %}".repeat(9000) + "{% endif %}"));
    err(&"{% if on %}".repeat(9000));
    assert_eq!(ok(&"\n".repeat(100_000)).len(), 100_000);
}

#[test]
fn odd_numbers_and_slices_are_errors_or_values_but_never_panics() {
    let (big, least) = ("170141183460469231731687303715884105727", "-9223372036854775808");
    for expr in [
        "1 % 0".to_owned(),
        "1 // 0".into(),
        "1 / 0".into(),
        format!("{big} + 1"),
        format!("{big} * 2"),
        format!("-{big} - 2"),
        format!("(-{big} - 1) // -1"),
        format!("(-{big} - 1) % -1"),
        format!("{least} // -1"),
        format!("'abc'[{least}:{big}]"),
        format!("'abc'[{least}:{least}:{least}]"),
        "[1, 2][::0]".into(),
        "'abc'[5:2]".into(),
        "'ắbc'[1:2:-1]".into(),
        format!("'x'[{big}]"),
        "1e999 * 2".into(),
        "'x'|indent(-1)".into(),
        "[1, 'a', none]|sort|tojson".into(),
    ] {
        let source = format!("{{{{ {expr} }}}}");
        assert_eq!(render("t", &source, &context()), render("t", &source, &context()), "{expr}");
    }
    assert_eq!(ok("{{ 'abcdef'[:3] }}{{ 'abcdef'[-2:] }}{{ ''[2:9] }}"), "abcef");
    assert!(err("{{ ''[::-1] }}").contains("plain numbers"));
    assert!(err("{{ 'abc'[:database.port] }}").contains("plain numbers"));
}

#[test]
fn filters_give_what_products_expect() {
    assert_eq!(ok("{{ 'a:b'|base64 }} {{ 'a:b'|b64encode }}"), "YTpi YTpi");
    assert_eq!(ok("{{ 'abc'|md5 }}"), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(ok("{{ 'abc'|sha256 }}"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_eq!(ok("{{ 'a b/c&ă'|urlencode }}"), "a%20b%2Fc%26%C4%83");
    assert_eq!(ok("{{ database.password|tojson }}"), r#""p'w\\d""#);
    assert_eq!(ok("{{ database.password|sql_quote }}"), r"CONCAT('','p''w',CHR(92),'d')");
    assert_eq!(ok("{{ database.password|php_string }}"), r"'p\'w\\d'");
    assert_eq!(ok("{{ database.password|shell_quote }}"), r"'p'\''w\d'");
    assert!(ok("{{ 'p'|argon2(instance.id) }}").starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
    assert!(ok("{{ 'p'|md5|bcrypt(instance.id) }}").starts_with("$2y$10$"));
    assert!(err("{{ 'a\nb'|ini_value }}").contains("line break"));
    assert_eq!(ok("{% for k, v in tables|first|items %}{{ k }}={{ v }}{% endfor %}"), "name=x");
    assert_eq!(ok("{{ instance|keys|join(',') }}"), "host,id");
    assert_eq!(ok("{{ 'a\nb'|indent(2) }} {{ 'aXb'|replace('X', '-') }}"), "a\n  b a-b");
}

#[test]
fn check_names_the_variables_without_the_templates_own() {
    let source = "{% for t in tables %}{{ t.name }}{{ loop.index }}{% endfor %}{{ database['password'] }}\n\
                  {% set x = admin.email %}{{ x }}{% if smtp is defined %}{{ smtp.host|lower }}{% endif %}";
    assert_eq!(check("t", source).unwrap(), ["admin.email", "database.password", "smtp", "smtp.host", "tables"]);
    assert_eq!(check("t", "{{ 'x'|argon2(instance.id) }}").unwrap(), ["instance.id"]);
    assert_eq!(check("t", "{{ database[key] }}").unwrap(), ["database", "key"]);
    assert!(check("t", "a\n{{ x|nosuch }}").unwrap_err().to_string().contains("nosuch"));
    assert_eq!(check("t", "a\n{% if x %}").unwrap_err().line, Some(2));
}

#[test]
fn messages_do_not_show_secrets() {
    let context = json!({"admin": {"password": "hunter22"}});
    let said =
        render("t", "{{ {'a': 1}[admin.password].x }}{{ admin.password|int }}", &context).unwrap_err().to_string();
    assert!(!said.contains("hunter22"), "{said}");
}

#[test]
fn every_filter_and_test_that_is_known_exists() {
    let env = environment(syntax("t").unwrap());
    for name in filters::FILTERS {
        let said = env.render_str(&format!("{{{{ 'x'|{name} }}}}"), ()).map_err(|e| e.kind());
        assert_ne!(said, Err(ErrorKind::UnknownFilter), "{name}");
    }
    for name in filters::TESTS {
        let said = env.render_str(&format!("{{{{ 'x' is {name} }}}}"), ()).map_err(|e| e.kind());
        assert_ne!(said, Err(ErrorKind::UnknownTest), "{name}");
    }
}

fn pieces() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("{{ ".to_owned()),
        Just(" }}".to_owned()),
        Just("{% ".to_owned()),
        Just(" %}".to_owned()),
        Just("{# ".to_owned()),
        "(if|for|set|with|endif|endfor|else|in|raw|endraw|elif|is|not|defined) ",
        "(database|tables|x|on|loop)(\\.[a-z]{1,4}|\\[[0-9]\\])?",
        "\\|(lower|items|join|argon2|sql_quote|int|first)(\\([a-z'0-9,]{0,5}\\))?",
        "[~+*/%<>=!,:\\[\\](){}'\"-]",
        "(\\[-?[0-9]{0,2}:-?[0-9]{0,2}\\]|-?[0-9]{1,40}| // | % |\\*\\*)",
        "\\PC{0,3}",
    ];
    proptest::collection::vec(part, 0..25).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn no_template_panics_and_rendering_is_repeatable(source in pieces()) {
        let first = render("t", &source, &context());
        let _ = check("t", &source).map(|names| names.iter().any(|n| is_secret(n)));
        prop_assert_eq!(first.map_err(|e| e.to_string()), render("t", &source, &context()).map_err(|e| e.to_string()));
    }

    #[test]
    fn a_template_that_checks_without_variables_renders_anywhere(source in "[a-z {}%#'|~]{0,40}") {
        if let Ok(names) = check("t", &source) && names.is_empty() && !source.contains(['|', '{']) {
            prop_assert_eq!(render("t", &source, &json!({})).unwrap(), source);
        }
    }
}
