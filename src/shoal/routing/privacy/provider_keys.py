"""How the keys of well-known providers begin, and what follows."""

_WORD = r"[A-Za-z0-9_-]"
_ALNUM = "[A-Za-z0-9]"

PROVIDER_KEYS: dict[str, str] = {
    "sk-": rf"{_WORD}{{20,512}}+",  # OpenAI, Anthropic, OpenRouter, DeepSeek …
    "csk-": rf"{_ALNUM}{{32,128}}+",  # Cerebras
    "gsk_": rf"{_ALNUM}{{32,128}}+",  # Groq
    "xai-": rf"{_ALNUM}{{40,128}}+",
    "pplx-": rf"{_ALNUM}{{32,128}}+",
    "hf_": rf"{_ALNUM}{{30,64}}+",
    "r8_": rf"{_ALNUM}{{32,64}}+",
    "nvapi-": rf"{_WORD}{{40,128}}+",
    "tvly-": rf"{_WORD}{{20,64}}+",
    "lsv2_": rf"(?:pt|sk)_{_WORD}{{32,128}}+",
    "fw_": rf"{_ALNUM}{{20,64}}+",
    "AKIA": r"[A-Z0-9]{16}",  # AWS, long-lived
    "ASIA": r"[A-Z0-9]{16}",  # AWS, temporary
    "AIza": rf"{_WORD}{{35}}",  # Google
    "GOCSPX-": rf"{_WORD}{{28}}",
    "ya29.": rf"{_WORD}{{20,512}}+",
    "ghp_": rf"{_ALNUM}{{36,255}}+",
    "gho_": rf"{_ALNUM}{{36,255}}+",
    "ghu_": rf"{_ALNUM}{{36,255}}+",
    "ghs_": rf"{_ALNUM}{{36,255}}+",
    "ghr_": rf"{_ALNUM}{{36,255}}+",
    "github_pat_": r"[A-Za-z0-9_]{50,255}+",
    "glpat-": r"[A-Za-z0-9_.-]{20,128}+",
    "xoxa-": rf"{_WORD}{{10,255}}+",  # Slack
    "xoxb-": rf"{_WORD}{{10,255}}+",
    "xoxp-": rf"{_WORD}{{10,255}}+",
    "xoxr-": rf"{_WORD}{{10,255}}+",
    "xoxs-": rf"{_WORD}{{10,255}}+",
    "xapp-": rf"{_WORD}{{10,255}}+",
    "hooks.slack.com/services/": r"[A-Za-z0-9/]{20,128}+",
    "sk_live_": rf"{_ALNUM}{{16,255}}+",  # Stripe
    "sk_test_": rf"{_ALNUM}{{16,255}}+",
    "rk_live_": rf"{_ALNUM}{{16,255}}+",
    "rk_test_": rf"{_ALNUM}{{16,255}}+",
    "whsec_": r"[A-Za-z0-9+/=]{24,128}+",
    "sq0atp-": rf"{_WORD}{{22}}",
    "sq0csp-": rf"{_WORD}{{43}}",
    "SG.": rf"{_WORD}{{16,32}}+\.{_WORD}{{32,64}}+",  # SendGrid
    "key-": r"[0-9a-f]{32}",  # Mailgun
    "npm_": rf"{_ALNUM}{{36}}",
    "pypi-": rf"{_WORD}{{50,512}}+",
    "dop_v1_": r"[0-9a-f]{64}",
    "doo_v1_": r"[0-9a-f]{64}",
    "shpat_": r"[0-9a-fA-F]{32}",
    "shpss_": r"[0-9a-fA-F]{32}",
    "dapi": r"[0-9a-f]{32}",  # Databricks
    "hvs.": rf"{_WORD}{{24,255}}+",
    "glsa_": rf"{_ALNUM}{{32}}_[0-9a-f]{{8}}",
    "NRAK-": r"[A-Z0-9]{27}",
    "PMAK-": r"[0-9a-f]{24}-[0-9a-f]{34}",
    "lin_api_": rf"{_ALNUM}{{40}}",
    "ntn_": rf"{_ALNUM}{{40,64}}+",
    "sbp_": r"[0-9a-f]{40}",
    "figd_": rf"{_WORD}{{40,64}}+",
    "ATATT3": rf"{_WORD}{{100,255}}+",
    "AGE-SECRET-KEY-1": r"[0-9A-Z]{58}",
}
"""Prefix and pattern of the rest."""
