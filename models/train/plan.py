"""What the encoders learn from and how long: the plan that `--set` changes, and how much of each set a round draws."""

from dataclasses import dataclass


@dataclass
class Plan:
    """How long and on how much the encoders are tuned. A round is one draw by `DRAWS`."""

    new_words: int = 6000
    limit: int = 64
    languages: tuple = ("en", "es", "pt", "fr", "de", "it", "hi", "ur", "tr", "id", "ru", "und")
    most: int = 9000
    watched: int = 100
    disguised: int = 2
    harmful: float = 0.45
    harmless: float = 0.15
    authored_weight: float = 2.0
    authored_times: float = 2.0
    share: float = 1.0
    # Teachers: how many, from which seed each, and how they are tuned.
    teachers: int = 2
    teacher_rounds: int = 3
    teacher_rate: float = 6e-5
    teacher_tokens: int = 8192
    # The model itself: inner units that stay in each layer, rounds, rates; the last share of its steps computes as the int8
    # export will.
    inner: int = 768
    rounds: int = 14
    rate: float = 5e-4
    head_rate: float = 2e-3
    tokens_a_step: int = 24576
    taught_weight: float = 2.0
    recombined: int = 45000
    whole_numbers: float = 0.15
    # Going on where rows of our own have come since: which layers stay (empty: all); of public sets and functional texts a small
    # share, and of our own rows, old and new, so many times as much.
    stay: tuple = ()
    further_share: float = 0.06
    further_times: float = 25.0
    further_rounds: int = 2
    further_rate: float = 1e-4
    further_tokens: int = 4096
    seed: int = 11

    def cap(self, name: str) -> int:
        """How many rows of a public set are prepared."""
        return max(self.most, DRAWS[name]) if name in DRAWS else 0


# How many rows of each public set one round draws (a set can be drawn more than once); unnamed sets are left out.
# Adversarial hate comes first: plain keyword-sampled sets teach the words, these teach what is done with them.
DRAWS = {
    "dynahate": 40000, "hatemoji_build": 10000, "toxigen_prompts": 1200, "implicit_hate": 6000, "hatexplain": 4500,
    "kurrek_slur_subset": 3500, "edos": 3000, "gab_hate_corpus": 3500, "toxic_spans_civil": 3000, "convabuse": 1900,
    "davidson": 2500, "stormfront": 2500, "wiki_toxicity_context": 1500, "fox_news_comments": 1200,
    "identity_madlibs": 1500, "online_misogyny": 1500, "mlma": 1500, "surge_toxicity": 800, "iwg_refugees": 300,
    "gahd": 6000, "jigsaw2020_multi": 4000, "told_br": 5000, "germeval2018": 3500, "germeval2021": 2000, "roman_urdu": 3000,
    "sms_spam": 9000, "instagram_scamspot": 3000, "youtube_spam": 3000, "janitr_x": 2500, "youtube_gambling_id": 2500,
    "smishing": 1800, "tg_spam_samples": 600, "telegram_spam_ru": 1500,
    "hint3": 2600, "complaints_tweets": 2400, "clinc150": 2000, "multidogo": 2000, "banking77": 1500,
    "bitext_support": 1500, "purchase_tweets": 1000, "cucom_ecommerce": 800, "purchase_posts_templated": 600,
    "goemotions": 6000, "cpsc_incidents": 800,
}
# A round draws functional texts so often.
FUNCTIONAL_TIMES = 1.5
