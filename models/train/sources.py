"""Which public sets train the models, at what cap, and what an unsaid label weakly means there."""

from dataclasses import dataclass

# Sets with no clear licence whose authors openly offer the data for use with citation,
# or whose upstream release is listed under an open licence (see the card).
OFFERED = {"dynahate", "gab_hate_corpus", "smishing", "youtube_spam", "bitext_support",
           "complaints_tweets", "germeval2021"}

# Weight of a weak zero for labels that a kind of source says nothing about.
KINDS = {
    "hate": {"purchase_intent": 0.2, "support": 0.1, "collab": 0.2, "spam": 0.05, "risk": 0.03},
    "spam": {"hate": 0.1, "collab": 0.05, "risk": 0.03},
    "support": {"hate": 0.3, "abuse": 0.3, "spam": 0.3, "collab": 0.2},
    "intent": {"hate": 0.2, "abuse": 0.2, "spam": 0.1, "collab": 0.1, "support": 0.1},
    "sentiment": {"purchase_intent": 0.2, "support": 0.2, "collab": 0.2, "spam": 0.2, "risk": 0.1, "hate": 0.03},
    "incident": {"hate": 0.3, "abuse": 0.3, "spam": 0.3, "collab": 0.3, "purchase_intent": 0.3},
}
# A certain spam row carries no other label (convention of the label page).
SPAM_ALONE = 0.3


@dataclass(frozen=True)
class Source:
    """How one public set is used: its kind, and at most how many rows an epoch draws from it."""

    kind: str
    cap: int = 6000
    weight: float = 1.0


SOURCES = {
    **{name: Source("hate") for name in [
        "hatexplain", "davidson", "gab_hate_corpus", "implicit_hate", "stormfront", "edos", "online_misogyny",
        "toxic_spans_civil", "surge_toxicity", "fox_news_comments", "convabuse",
        "germeval2018", "germeval2021", "gahd", "iwg_refugees", "told_br", "roman_urdu", "korean_hate",
        "bengali_hate", "jigsaw2020_multi", "mpold_ar",
        "olid", "unhealthy_comments", "hateval_en", "hatebr", "fortuna_pt", "hateval_es", "haspeede2_it",
        "indonesian_hate", "vihsd", "hasoc2019_hi"]},
    "dynahate": Source("hate", 16000),
    "hatemoji_build": Source("hate", 6000),
    "toxigen_prompts": Source("hate", 1000),
    "kurrek_slur_subset": Source("hate", 6000),
    "cold_zh": Source("hate", 5000),
    "mlma": Source("hate", 4000, 0.5),
    "wiki_toxicity_context": Source("hate", 4000),
    "identity_madlibs": Source("hate", 1200, 0.5),
    "sms_spam": Source("spam"), "smishing": Source("spam"), "youtube_spam": Source("spam"),
    "instagram_scamspot": Source("spam"), "tg_spam_samples": Source("spam"),
    "telegram_spam_ru": Source("spam", 4000), "youtube_gambling_id": Source("spam", 4000, 0.5),
    "janitr_x": Source("spam", 4000, 0.7),
    "hint3": Source("support"), "bitext_support": Source("support", 3000, 0.5),
    "banking77": Source("support", 3000, 0.5), "clinc150": Source("support", 4000, 0.5),
    "multidogo": Source("support", 3000, 0.7), "complaints_tweets": Source("support"),
    "cucom_ecommerce": Source("support", 2000, 0.3), "twcs_spotify": Source("support", 3000, 0.5),
    "airline_tweets": Source("support"),
    "purchase_tweets": Source("intent"), "purchase_posts_templated": Source("intent", 1500, 0.3),
    "goemotions": Source("sentiment", 10000), "semeval2017_sentiment": Source("sentiment", 10000),
    "xlmt_sentiment": Source("sentiment", 8000), "vulgar_twitter": Source("sentiment"),
    "nps_chat": Source("sentiment", 3000, 0.5),
    "cpsc_incidents": Source("incident", 600, 0.3),
}


def permitted(card: dict, include_research: bool) -> bool:
    """Whether the licence table lets this set train a model that is shipped."""
    if include_research or card["commercial_ok"].startswith("yes"):
        return True
    return card["commercial_ok"] == "unclear" and card["name"] in OFFERED


def source_of(name: str) -> Source:
    """How a set is used; texts of our own and a brand's rows decide their labels themselves, and all are drawn."""
    return SOURCES.get(name) or Source("written", 1_000_000)
