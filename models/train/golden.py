"""Texts of the golden files: written for this kit, plus authored rows; awkward input on purpose."""

import random

WRITTEN = [
    "", " ", "\t\n", "\u0000", "a\u0000b", "?", "!!!", "...", "a", "@user", "http://url", "user@email",
    "How much is the blue one?", "do you ship to Lisbon and what does delivery cost", "price pls",
    "HOW MUCH??? I need TWO of these by friday", "is the size M back in stock?", "where's my order #48213, it's two weeks late",
    "refund me or I call my lawyer", "my charger melted and burned my daughter's hand",
    "I'd love to partner with your brand, 120k followers, media kit attached",
    "wholesale price list for 500 units please", "you absolute clown, learn to do your job",
    "whoever runs this account is a brainless muppet", "FREE iPhone!!! click http://url now to claim your prize",
    "dm @user on telegram, he turned my $500 into $9,000 in a week", "f0ll0w me 4 a f0ll0w b4ck",
    "F R E E  c r y p t o  g i v e a w a y", "\u0440\u0430\u0443\u0440\u0430l security: verify your account at http://url",
    "love love love this \U0001f60d\U0001f60d\U0001f60d", "\U0001f525\U0001f525\U0001f525", "\u2764\ufe0f", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 matching pyjamas for us four?",
    "\U0001f1f5\U0001f1f9\U0001f1ea\U0001f1f8", "\U0001f44d\U0001f3fd", "best purchase of the year, thank you!", "meh", "worst support I have ever had",
    "\u4f60\u597d\uff0c\u8fd9\u4e2a\u591a\u5c11\u94b1\uff1f", "\u3053\u308c\u306f\u3044\u304f\u3089\u3067\u3059\u304b", "\uac00\uaca9\uc774 \uc5bc\ub9c8\uc608\uc694?", "\u0441\u043a\u043e\u043b\u044c\u043a\u043e \u0441\u0442\u043e\u0438\u0442 \u0434\u043e\u0441\u0442\u0430\u0432\u043a\u0430",
    "\u0643\u0645 \u0627\u0644\u0633\u0639\u0631\u061f", "\u0915\u093f\u0924\u0928\u0947 \u0915\u093e \u0939\u0948", "\u0e23\u0e32\u0e04\u0e32\u0e40\u0e17\u0e48\u0e32\u0e44\u0e2b\u0e23\u0e48",
    "cafe\u0301 cre\u0300me", "caf\u00e9 cr\u00e8me", "Z\u0351\u0343\u0367a\u0352\u0302l\u0364g\u0300o\u0301 te\u0301xt", "na\u00efve co\u00f6perate \u0130stanbul \u0131\u015f\u0131k",
    "\uff28\uff4f\uff57 \uff4d\uff55\uff43\uff48", "\u00bfcu\u00e1nto cuesta el env\u00edo a M\u00e9xico?", "\u00e7a co\u00fbte combien ?", "quanto custa o frete pra Recife", "wo bleibt meine Bestellung??",
    "quanto viene la giacca rossa?", "kitne ka hai bhai, cod milega?", "berapa harganya kak", "kargo \u00fccreti ne kadar",
    "\ufeffbom at the front", "zero\u200bwidth\u200binside", "soft\u00adhyphen", "right\u202eto left", "line\r\nbreak\u2028and\u2029more",
    "tab\tseparated\tvalues", "\ud7ff edge", "\ufffd\ufffd", "\U0010ffff", "\U000e0041\U000e0042", "1234567890 " * 3, "3.50\u20ac vs $3.50 vs \u20b9350",
    "x" * 99, "x" * 100, "x" * 101, "x" * 5000, "\U0001f600" * 150, "\u4e2d" * 140, "- " * 200, "[PAD] [UNK] [CLS] [SEP] [MASK]",
    "don't can't won't", "a_b-c.d/e\\f|g", "<b>bold</b> &amp; &lt;", "{\"json\": true}", "'; DROP TABLE events; --",
    "how much " * 64, "how much " * 65, "thanks for the quick delivery. " * 40 + "where do I send the legal complaint?",
    "you win a prize, claim at http://url " * 60, "word " * 127, "word " * 128, "word " * 129, "word " * 224, "word " * 225,
]


def texts(authored: list, count: int = 200, seed: int = 3) -> list:
    """The written texts, then authored ones (as they stand) up to `count`."""
    own = sorted(set(authored) - set(WRITTEN))
    random.Random(seed).shuffle(own)
    return WRITTEN + own[: max(0, count - len(WRITTEN))]
