"""The web client of Tryton in a person's hands: what is clicked and typed. Does I/O through the browser."""


class WebClient:
    """The client at `address`, for one database. Fields and buttons are found by the names that the client gives."""

    def __init__(self, browser, address, database):
        self.browser, self.address, self.database, self.filled = browser, address, database, {}

    def log_in(self, login, password, picture=None):
        """Logs in. The page knows the only database, so that nobody types its name."""
        b = self.browser
        b.go(f"{self.address}/#{self.database}")
        self.answer(".login-dialog input[name=login]", login)
        shown = b.run("return arguments[0].value", b.see(".login-dialog input[name=database]"))
        assert shown == self.database, f"the page knows {shown} as its database"
        if picture:
            b.picture(picture)
        b.click(".login-dialog button[type=submit]")
        self.answer(".ask-dialog input[type=password]", password)
        b.click(".ask-dialog button[title=OK]")
        b.see("#user-preferences a", seconds=60)
        b.see("#menu tr", seconds=60)

    def answer(self, css, text):
        """Types into a dialog once its cursor blinks there: a dialog that still opens takes the cursor away from who types."""
        b = self.browser
        b.until(f"the cursor is in {css}", lambda: b.run("return document.activeElement?.matches(arguments[0])", css), 60)
        b.type(css, text)

    def open(self, model):
        """A tab with the records of a model, as from a bookmark."""
        b = self.browser
        b.go(f"{self.address}/#{self.database}/model/{model}")
        b.until(f"the tab of {model} is open", lambda: f"/model/{model};" in b.run("return location.href") and b.all(
            ".tab-pane.active .toolbar button[title=New]"), 60)

    def new(self, field):
        """An empty form; it is there when `field` is."""
        self.browser.click(".tab-pane.active .toolbar button[title=New]")
        self.browser.see(self.field(field))
        self.quiet()
        self.filled = {}

    @staticmethod
    def field(name):
        return f".tab-pane.active .form input[name='{name}']"

    def quiet(self):
        """Waits until the client has no request under way: its answer would fill the form anew."""
        self.browser.until("the client is quiet", lambda: self.browser.run("return Sao.common.processing.queries === 0"), 120)

    def fill(self, name, text):
        """Writes into a field; again when the client took it away while it filled the form."""
        b = self.browser

        def written():
            self.quiet()
            now = self.value(name)
            if now and now != text:
                b.clear(self.field(name))
            elif not now:
                b.type(self.field(name), text)
            return self.value(name) == text
        b.until(f"{name} holds its text", written, 60)
        self.filled[name] = text

    def choose(self, name, text):
        """Writes a record's name and takes it from the list that the client offers."""
        b = self.browser

        def taken():
            self.fill(name, text)
            b.click(".tab-pane.active .form li.completion a", text, 5)
            return True
        b.until(f"{name} offers {text}", taken, 60)
        b.until(f"{name} is {text}", lambda: self.value(name) == text and not b.all(".tab-pane.active li.completion a"))

    def value(self, name):
        """What a person reads in a field."""
        return self.browser.run("return arguments[0].value", self.browser.see(self.field(name)))

    def save(self, model):
        """Saves the form; gives the number that the record got, as the address tells it."""
        b = self.browser
        # A person looks once more: an answer that came late fills the whole form anew, on a busy machine also a field that
        # was written before (seen: a user without a name).
        for name, text in self.filled.items():
            self.fill(name, text)
        self.quiet()
        b.click(".tab-pane.active .toolbar button[title=Save]")

        def number():
            rest = b.run("return location.href").partition(f"/model/{model}/")[2]
            return rest.split(";")[0] if rest[:1].isdigit() else None
        return int(b.until(f"{model} is saved", number, 60))
