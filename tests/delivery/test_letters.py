"""The letters: what is bundled is whole, an own folder comes first and is checked at the start, and no value can break out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from string import Template

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from authsvc.delivery.letters import COMMON, LETTERS, Letters, fallbacks, words_of
from authsvc.problems import Refused
from tests.delivery import BUNDLED
from tests.support import make_app

FUZZ = settings(deadline=None, max_examples=60)
LANGUAGES = ["en", "de"]
EVERY = [(name, language) for name in LETTERS for language in LANGUAGES]
HOSTILE = st.one_of(st.text(), st.text(st.characters(categories=("Cc", "Zl", "Zp", "Po", "Sm"))), st.text("<>&\"'\r\n$:= abc", min_size=20))


class Tags(HTMLParser):
    """The tags, with their attributes' names, and the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, list[str]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


def write(folder: Path, files: dict[str, str]) -> str:
    """A folder with these letters of one's own."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, "utf-8")
    return str(folder)


@pytest.mark.parametrize(("name", "language"), EVERY)
def test_every_letter_is_there_in_every_language_with_all_its_words(name: str, language: str) -> None:
    """Each half of each bundled letter says everything that the letter is about, and leaves no placeholder."""
    words = COMMON | LETTERS[name]
    letter = Letters("").render(name, language, words)
    assert letter.locale == language
    assert letter.subject
    assert not letter.subject.startswith("Subject")
    assert letter.text.strip()
    for half in (letter.text, letter.html):
        assert "$" not in half
        assert {word for word in LETTERS[name].values() if word not in half} == set()
    assert COMMON["service"] in letter.subject
    assert f'lang="{language}"' in letter.html


@pytest.mark.parametrize("suffix", ["txt", "html"])
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_letter_is_missing_and_none_is_left_over(language: str, suffix: str) -> None:
    """The bundled folder has exactly the letters of the list, in each language and form."""
    assert {file.stem for file in (BUNDLED / language).glob(f"*.{suffix}")} == set(LETTERS) | ({"sms"} if suffix == "txt" else set())


@pytest.mark.parametrize("name", LETTERS)
def test_both_languages_and_both_halves_speak_of_the_same(name: str) -> None:
    """No translation, and no half, lacks a placeholder that another has."""
    used = {
        (language, suffix): set(Template((BUNDLED / language / f"{name}.{suffix}").read_text("utf-8")).get_identifiers()) - COMMON.keys()
        for language in LANGUAGES
        for suffix in ("txt", "html")
    }
    assert set(map(frozenset, used.values())) == {frozenset(LETTERS[name])}


@pytest.mark.parametrize("name", LETTERS)
def test_an_html_letter_loads_nothing_and_runs_nothing(name: str) -> None:
    """No image, script, style sheet or form of elsewhere: opening a mail tells nobody, and every link is one of ours."""
    page = Tags(Letters("").render(name, "en", COMMON | LETTERS[name]).html)
    assert {tag for tag, _ in page.tags} & {"img", "script", "link", "form", "iframe", "object", "input"} == set()
    assert {attribute for _, attributes in page.tags for attribute in attributes if attribute.startswith("on")} == set()
    assert page.text.strip()


@pytest.mark.parametrize(
    ("locale", "expected"),
    [
        (None, ["en"]),
        ("en", ["en"]),
        ("de", ["de", "en"]),
        ("pt-BR", ["pt-BR", "pt", "en"]),
        ("zh-Hant-TW", ["zh-Hant-TW", "zh-Hant", "zh", "en"]),
    ],
)
def test_a_locale_falls_back_to_its_language_and_at_last_to_english(locale: str | None, expected: list[str]) -> None:
    """pt-BR, pt, en: from the wanted language to the one that is always there."""
    assert list(dict.fromkeys(fallbacks(locale))) == expected


@pytest.mark.parametrize(("locale", "found"), [("de-AT", "de"), ("de-CH-1996", "de"), ("pt-BR", "en"), ("xx", "en"), (None, "en")])
def test_a_language_without_letters_is_answered_in_the_next(locale: str | None, found: str) -> None:
    """The letter comes in the nearest language that there is, and says in which."""
    letter = Letters("").render("verify", locale, COMMON | LETTERS["verify"])
    assert letter.locale == found
    assert f'lang="{found}"' in letter.html


@pytest.mark.parametrize(
    ("locale", "found"), [("DE", "de"), ("De-at", "de"), ("pt-br", "pt-BR"), ("PT-BR-x", "pt-BR"), ("ZH-hANT-tw", "zh-Hant")]
)
def test_the_case_of_a_language_tag_does_not_matter(tmp_path: Path, locale: str, found: str) -> None:
    """RFC 5646 section 2.1.1: tags are the same in any case, and the API takes them in any."""
    halves = {"test.txt": "Subject: x\n\n$when\n", "test.html": "<p>$when</p>"}
    own = {f"{language}/{name}": half for language in ("pt-BR", "zh-Hant") for name, half in halves.items()}
    assert Letters(write(tmp_path, own)).render("test", locale, COMMON | LETTERS["test"]).locale == found


def test_an_own_folder_replaces_file_by_file(tmp_path: Path) -> None:
    """What lies in the own folder comes first; the other half, the other letters and languages stay as bundled."""
    letters = Letters(write(tmp_path, {"en/welcome.txt": "Subject: Hi from $service\n\nOwn text for $address.\n"}))
    bundled = Letters("").render("welcome", "en", COMMON | LETTERS["welcome"])
    mixed = letters.render("welcome", "en", COMMON | LETTERS["welcome"])
    assert (mixed.subject, mixed.text) == ("Hi from authsvc", "Own text for jane@example.com.\n")
    assert mixed.html.replace("<title>Hi from authsvc</title>", f"<title>{bundled.subject}</title>") == bundled.html
    for name, language in EVERY:
        if (name, language) != ("welcome", "en"):
            words = COMMON | LETTERS[name]
            assert letters.render(name, language, words) == Letters("").render(name, language, words)


def test_an_own_folder_brings_a_new_language(tmp_path: Path) -> None:
    """A language of one's own counts from its first letter on; letters that it lacks come in the fallback."""
    folder = write(tmp_path, {"pt-BR/welcome.txt": "Subject: Oi\n\nBem-vindo: $account_url\n", "pt-BR/welcome.html": "<p>$account_url</p>"})
    letters = Letters(write(Path(folder), {"pt/reset.txt": "Subject: Senha\n\n$link $minutes\n", "pt/reset.html": "<p>$link</p>"}))
    welcome = letters.render("welcome", "pt-BR", COMMON | LETTERS["welcome"])
    assert (welcome.locale, welcome.subject) == ("pt-BR", "Oi")
    assert 'lang="pt-BR"' in welcome.html
    assert letters.render("reset", "pt-BR", COMMON | LETTERS["reset"]).locale == "pt"
    assert letters.render("welcome", "pt", COMMON | LETTERS["welcome"]).locale == "en"
    assert letters.render("magic", "pt-BR", COMMON | LETTERS["magic"]).locale == "en"


def test_an_own_layout_frames_every_letter(tmp_path: Path) -> None:
    """layout.html of the own folder takes the place of the bundled one."""
    letters = Letters(write(tmp_path, {"layout.html": '<html lang="$lang"><title>$subject</title><h1>$service</h1>$content</html>'}))
    html = letters.render("test", "de", COMMON | LETTERS["test"]).html
    assert html.startswith('<html lang="de"><title>Test-E-Mail von authsvc</title><h1>authsvc</h1><p>')


FAULTS = {
    "a placeholder that no letter has": ({"en/verify.txt": "Subject: x\n\n$lnik\n"}, "en/verify.txt: .*lnik"),
    "a placeholder of another letter": ({"en/welcome.html": "<p>$code</p>"}, "en/welcome.html: .*code"),
    "a placeholder in the subject": ({"de/reset.txt": "Subject: $nobody\n\n$link\n"}, "de/reset.txt: .*nobody"),
    "a dollar that is none": ({"en/test.txt": "Subject: x\n\n10 $ a month\n"}, "en/test.txt: "),
    "no subject": ({"en/verify.txt": "Hello,\n\n$link\n"}, "en/verify.txt: .*[Ss]ubject"),
    "a subject that is not first": ({"en/verify.txt": "\nSubject: x\n\n$link\n"}, "en/verify.txt: .*[Ss]ubject"),
    "an empty file": ({"en/verify.txt": ""}, "en/verify.txt: .*[Ss]ubject"),
    "the HTML half is missing": ({"fr/verify.txt": "Subject: x\n\n$link\n"}, "fr/verify.txt: .*html"),
    "the text half is missing": ({"fr/verify.html": "<p>$link</p>"}, "fr/verify.html: .*txt"),
    "a name that no letter has": ({"en/verfy.txt": "Subject: x\n\n$link\n"}, "en/verfy.txt: "),
    "no folder of a language": ({"verify.txt": "Subject: x\n\n$link\n"}, "verify.txt: "),
    "a folder too deep": ({"my/en/verify.txt": "Subject: x\n\n$link\n"}, "my/en/verify.txt: "),
    "a layout with a word too many": ({"layout.html": "<p>$content $link</p>"}, "layout.html: .*link"),
}


@pytest.mark.parametrize(("files", "told"), FAULTS.values(), ids=list(FAULTS))
def test_a_fault_in_an_own_letter_stops_the_start_and_names_the_file(tmp_path: Path, files: dict[str, str], told: str) -> None:
    """Whoever waits for a mail is not the one to find it: the service does not start, and says what is wrong where."""
    folder = write(tmp_path / "letters", files)
    with pytest.raises(Refused, match="AUTHSVC_LETTERS") as refused:
        make_app(tmp_path, letters=folder)
    assert re.search(told, str(refused.value)), str(refused.value)


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """One start shows everything that is wrong with a folder."""
    folder = write(tmp_path, {"en/verify.txt": "no", "de/reset.html": "<p>$nobody</p>", "en/other.txt": "Subject: x\n"})
    with pytest.raises(Refused) as refused:
        Letters(folder)
    assert [name for name in ("en/verify.txt", "de/reset.html", "en/other.txt") if name not in str(refused.value)] == []


def test_an_own_letter_that_is_not_utf8_stops_the_start(tmp_path: Path) -> None:
    """Bytes that are no text are told at the start, too."""
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "verify.txt").write_bytes("Subject: für\n\n$link\n".encode("latin-1"))
    with pytest.raises(Refused, match=r"en/verify\.txt"):
        Letters(str(tmp_path))


def test_an_own_folder_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """A mistyped folder is no reason to send the bundled letters."""
    with pytest.raises(Refused, match="AUTHSVC_LETTERS"):
        make_app(tmp_path, letters=str(tmp_path / "nowhere"))


def test_what_is_no_letter_in_an_own_folder_does_no_harm(tmp_path: Path) -> None:
    """A readme or a picture beside the letters is left alone."""
    (tmp_path / "README.md").write_text("ours", "utf-8")
    assert Letters(str(tmp_path)).render("test", None, COMMON | LETTERS["test"]).locale == "en"


@pytest.mark.parametrize("name", ["verify", "new_device", "email_changed"])
@FUZZ
@given(value=HOSTILE)
@example(value="\r\nBcc: eve@evil.example\r\n\r\n<script>")
@example(value='"><a href="https://evil.example">')
@example(value="\x85\u2028\u2029\x0b\x0cX: 1")
@example(value="$link ${code} $$")
def test_no_value_adds_markup_or_a_line(name: str, value: str) -> None:
    """Whatever a value is, the letter has the same tags and as many lines, and the subject is one."""
    letters = Letters("")
    tame = letters.render(name, "en", words_of(COMMON | LETTERS[name]))
    words = words_of(COMMON | dict.fromkeys(LETTERS[name], value) | {"service": value})
    wild = letters.render(name, "en", words)
    assert Tags(wild.html).tags == Tags(tame.html).tags
    assert len(wild.text.splitlines()) == len(tame.text.splitlines())
    assert len(wild.subject.splitlines()) <= 1


def test_an_own_subject_made_of_values_stays_one_line(tmp_path: Path) -> None:
    """A subject into which an own letter puts a value is still one line with single spaces."""
    letters = Letters(write(tmp_path, {"en/new_device.txt": "Subject:  $device \t at   $when\n\n$ip $forgot_url\n"}))
    words = words_of(COMMON | LETTERS["new_device"] | {"device": "a\r\nBcc: eve@evil.example\u2028b"})
    assert letters.render("new_device", "en", words).subject == "a Bcc: eve@evil.example b at 2026-01-31 12:30 UTC"
