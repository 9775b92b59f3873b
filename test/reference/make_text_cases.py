"""Writes ../fixtures/text/cases.json: what open_clip's tokenizer makes of diverse text.

    python make_text_cases.py        needs open_clip_torch, ftfy, regex, torch

Every row is [group, text, cleaned text, ids]. Rows are drawn with a fixed seed.
"""
import json
import random
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "fixtures" / "text" / "cases.json"

NOUNS = ["dark bottle", "metal nut which has four notched edges", "CVC-300", "pcb1", "01", "Kvasir",
         "oval white pill with small red speckles and the letters 'FF' engraved", "Wheel-shaped FRYUM snack",
         "100% cotton (beige) #3", "rock'n'roll they'll we've I'm she'd it's DON'T you're", "a_b-c/d\\e|f", "C++ & C#",
         "$& {} {0} %s ${x}", "e.g. 3.14mm x 2,5\"", "<b>bold</b>", "a<b && b>c", "x" * 40, "!!!???...", "~`@^*()[]"]
LANGUAGES = ["schön größer Straße ÄÖÜ", "café crème à la carte, déjà vu, où ça?", "niño año ¿qué? ¡sí!", "Ångström blåbær Øl",
             "São Paulo não coração", "Škoda žluťoučký kůň čeština", "zażółć gęślą jaźń ŁÓDŹ", "şişe İstanbul ığdır çöp IĞDIR",
             "Đặng Thị tiếng Việt", "árvíztűrő tükörfúrógép", "ŝaŭmo ĉevalo", "façade naïve œuvre Œdipe", "Þórður æði",
             "Αθήνα ΟΔΟΣ ΟΔΟΣ. Σ ΑΣ' ὈΔΥΣΣΕΎΣ", "Привет, МИР ёлка Ўзбек", "Україна їжак Ґанок", "مرحبا بالعالم ٣٤٥", "שלום עולם",
             "हिन्दी पाठ", "தமிழ் எழுத்து", "বাংলা", "สวัสดีครับ", "ភាសាខ្មែរ", "你好，世界！（测试）", "日本語のテスト「欠陥」", "ｶﾀｶﾅ Ｆｕｌｌ　Ｗｉｄｔｈ １２３",
             "한국어 병", "한국어 ﾡﾢ", "ქართული", "հայերեն ԵՎ և", "አማርኛ", "ᏣᎳᎩ", "𝔣𝔯𝔞𝔨𝔱𝔲𝔯 𝒞", "😀🚀 👩‍🔬 🇩🇪 ❤️ 1️⃣", "½ ¼ x² 10³ H₂O Ⅳ ⅷ ① ㊙ ㎏"]
TRICKY = ["pensé…”", "“J’ai pensé…”", "CAFÉ™", "naïve®", "É…“", "5×3 mm", "30 °C", "±0,5 µm", "10 – 20", "“IRMÔ”", "ÅÄÖ", "Ã", "Â", "É", "AÑO", "« Noël »", "ÀÉÎ",
          "À la", "Ñandú", "£5 ¥6 €7", "x¹y²", "ΑΒΓ", "ÜBER™", "Œuf", "cœur", "Š–Ž", "¿Qué?—Sí", "Île-de-France", "Âge", "L’Âme", "Ð", "ß", "ÄÖÜß", "§ 5 Abs. 1", "A·B", "l·l",
          "„Gänsefüßchen“", "‚einfach‘", "‹spitz›", "†‡", "10‰", "~ˆ˜"]
HTML = ["&lt;b&gt;", "&amp;lt;", "&amp;amp;lt;", "&amp;amp;amp;amp;lt;", "&eacute;t&eacute;", "P&EACUTE;REZ", "STRA&SZLIG;E", "&nTILDE;", "AT&T", "a&b;c", "&hellip;&ndash;",
        "&#65;&#x42;&#X43;", "&#8364;", "&#128;", "&#150;", "&#0;x", "&#1;x", "&#xd800;", "&#x110000;", "&#99999999999;", "&#59;", "&semi;", "&notit;", "&notin;", "&ampamp;",
        "&copy 2020", "&copy2020", "< &eacute;", "< &amp;amp;eacute;", "&lt;&eacute;\n&eacute; <", "&nbsp;x&nbsp;y", "&#x200b;z", "&#xfeff;z", "&CounterClockwiseContourIntegral;",
        "&Jscr;ohn", "&fjlig;", "&#x1F600;", "&quot;q&quot;", "&#39;s", "&ldquo;q&rdquo;", "< &ldquo;q&rdquo;", "&", "&&", "&;", "&#;", "&#x;", "&lt", "&LT", "&AMP;", "&#133;", "&#x85;", "&am&#1;p;x"]
CONTROLS = ["tab\tx", "a\r\nb", "a\rb", "a\u2028b\u2029c", "a\x85b", "\x1b[31mred\x1b[0m", "\x1b[x", "\x1b]0;t\x07", "nul\x00", "\x7fdel", "a\x0bb\x0cc", "\ufeffbom", "a\x1cb\x1fc", "a\u200bb", "a\u200cb\u200dc",
            "\u206aarab", "\ufff9a\ufffab\ufffb", "\ufffcobj", "\x80euro", "\x93q\x94", "\x96dash", "\x81 \x8d", "a\xa0b", "\u1680x\u2003y\u202fz\u205fw\u3000v", "  lead  trail  ", "\n\n", "\u180ex", "\u2060x",
            "\ud800", "x\udc00y", "\ud83d\ude00", "\ude00\ud83d", "\ufffd", "\uffff", "\U000e0041", "a\xadb"]
LIGATURES = ["ﬁne ﬂow ﬀ ﬃ ﬄ ﬅ ﬆ", "Ĳs ĳs ŉ", "Ǆ ǅ ǆ Ǉ ǈ ǉ Ǌ ǋ ǌ Ǳ ǲ ǳ", "ﬓ ﬔ ﭏ", "æ œ Æ Œ ꜳ", "K Å Ω ſ 'ſ ẞ", "ǰ ΐ ﬃ ŉs", "e\u0301 A\u030a \u1100\u1161", "\u0344 \u0958 \u2126 \u212b", "İ I ı i̇", "“a” ‘b’ ‛c’ ‟d” ʼe „f‚ ′g″ ‹h›"]
BROKEN_TWICE = ["é", "“x”", "ü", "你好", "n°"]
ALPHABET = list("abcXYZ 019.,'\"&;<>#-_") + list("éüßñÅÃÂØÐ×ŠšœŸ€™°£§µ½’“”…–») ") + ["\u0301", "\u200d", "😀", "你", "П", "ﬁ", "Ａ", "\xa0", "\x92", "\n"]


def tokenizer():
    """open_clip's tokenizer.py on its own: importing the package would pull in torchvision."""
    path = Path(find_spec("open_clip").submodule_search_locations[0]) / "tokenizer.py"
    spec = spec_from_file_location("clip_tokenizer", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def misread(text, times=1):
    """UTF-8 read as Windows-1252, its five open bytes as control characters."""
    for _ in range(times):
        text = "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in text.encode())
    return text


def groups(rng):
    yield "noun", NOUNS
    yield "sentence", [t.format(n) for n in NOUNS[:8] for t in ("a photo of a damaged {}.", "The {} With Flaw.")]
    yield "language", LANGUAGES
    yield "language", ["a photo of " + t.upper() for t in LANGUAGES]
    yield "tricky", TRICKY + [t + " x" for t in TRICKY] + ["a photo of a " + t + "." for t in TRICKY]
    yield "html", HTML
    yield "control", CONTROLS
    yield "ligature", LIGATURES
    words = sorted({w for t in LANGUAGES + TRICKY for w in t.split()})
    yield "mojibake", [misread(t) for t in LANGUAGES]
    yield "mojibake", [misread(w) for w in words]
    yield "latin1", [t.encode().decode("latin-1") for t in LANGUAGES]
    yield "twice", [misread(t, 2) for t in BROKEN_TWICE]
    yield "mixed", [rng.choice(LANGUAGES) + " " + misread(rng.choice(words)) for _ in range(40)]
    yield "random", ["".join(rng.choices(ALPHABET, k=rng.randint(1, 14))) for _ in range(120)]


def main():
    tok = tokenizer()
    rows = {}
    for group, texts in groups(random.Random(20261123)):
        for text in texts:
            ids = [tok.sot_token_id, *tok.encode(text), tok.eot_token_id]
            rows.setdefault(text, [group, text, tok.clean_fn(text), ids])
    lines = ",\n".join(json.dumps(r, separators=(",", ":")) for r in rows.values())
    OUT.write_text("[\n" + lines + "\n]\n")
    print(len(rows), "rows", OUT.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
