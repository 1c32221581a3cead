"""Small products for the checks: the page of the agent's image, served as if it were an application. No I/O."""

AGENT = "tenantry.local/agent:dev"
PAGE = ["/tenantry-agent", "page", "--listen", "0.0.0.0:9000", "--file", "/etc/page/page.json"]


def page(name, **more):
    """A product of one process that starts in a second; what `more` says takes the place of its own."""
    content = '{"kind": "maintenance", "title": {{ settings.title|tojson }}, "reason": ""}'
    spec = {
        "title": "A page",
        "settings": {"title": {"default": "hello", "pattern": "[a-z ]{1,30}"}},
        "files": [{"path": "/etc/page/page.json", "content": content}],
        "releases": [{"version": "1", "image": AGENT}],
        "processes": [{"name": "web", "command": PAGE, "port": 9000, "serves": True,
                       "readiness": {"http": {"path": "/healthz"}, "periodSeconds": 1}}],
        "verify": {"steps": [{"name": "healthy", "path": "/healthz"}]},
        "podSecurity": {"runAsUser": 10001, "runAsGroup": 10001},
    }
    return {"apiVersion": "tenantry.dev/v1alpha1", "kind": "Blueprint", "metadata": {"name": name}, "spec": {**spec, **more}}


def notes(name, **more):
    """The same with a PostgreSQL database in which the instance's own row is written."""
    sql = ("CREATE TABLE IF NOT EXISTS notes (id int PRIMARY KEY, text text NOT NULL);\n"
           "INSERT INTO notes VALUES (1, {{ instance.id|sql_quote }}) ON CONFLICT (id) DO NOTHING")
    needs = {"engines": [{"engine": "postgresql", "minVersion": 13}]}
    return page(name, **{"database": needs, "personalise": {"steps": [{"name": "notes", "sql": sql}]}, **more})
