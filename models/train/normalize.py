"""The text normalisation that serving applies before the tokenizer, in Python."""

import re
import unicodedata

_ZERO_WIDTH = re.compile("[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff\u00ad\u180e\u034f]")
_URL = re.compile(r"(?i)\b(?:https?://|www\.)[^\s<>\"']+")
_BARE_URL = re.compile(
    r"(?i)(?<![\w@./])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+"
    r"(?:com|net|org|io|co|me|info|biz|shop|store|xyz|site|online|top|club|link|live|app|gg|ly|uk|de|fr|es|it|br|in|id|tr|ru)"
    r"(?:/[^\s<>\"']*)?(?![\w@.])"
)
_EMAIL = re.compile(r"(?i)\b[a-z0-9][a-z0-9._%+-]*@[a-z0-9-]+(?:\.[a-z0-9-]+)+\b")
_HANDLE = re.compile(r"(?<![\w@./])@\w[\w.]*\w|(?<![\w@./])@\w")
_REPEAT = re.compile(r"(.)\1{3,}", re.DOTALL)
_SPACE = re.compile(r"\s+")


def normalize(text: str, bare_urls: bool = True) -> str:
    """NFKC, zero-width removal, masking of links, e-mail and handles, squeeze of repeats to three."""
    text = unicodedata.normalize("NFKC", text)
    text = _ZERO_WIDTH.sub("", text)
    text = _EMAIL.sub("user@email", text)
    text = _URL.sub("http://url", text)
    if bare_urls:
        text = _BARE_URL.sub("http://url", text)
    text = _HANDLE.sub("@user", text)
    text = _REPEAT.sub(r"\1\1\1", text)
    return _SPACE.sub(" ", text).strip()
