"""Words of prompts, for naming tasks: what is usually asked for, and what says nothing."""

import re


def _names(text: str) -> dict[str, str]:
    """ "name word word" lines as a map of each word, and the name itself, to the name."""
    rows = [line.split() for line in text.strip().splitlines()]
    return {word: row[0] for row in rows for word in row}


ASKED_FOR = _names(
    """
    intent intents
    urgency urgent urgently
    sentiment sentiments
    topic topics
    department departments
    category categories categorise categorize
    priority priorities prioritise prioritize
    severity severe
    language languages
    emotion emotions
    tone
    spam
    toxicity toxic
    relevance relevant
    rating rate stars
    quality
    genre genres
    difficulty difficult
    similarity similar
    entailment entail entails
    action actions
    """
)
"""Words by which labels, numbers and fields are asked for, and the name of what is meant."""

WRITTEN = _names(
    """
    reply replies
    summary summarise summarize summaries
    translation translate
    rewrite rephrase paraphrase
    title headline
    explanation explain
    correction proofread
    review
    description describe
    email
    """
)
"""Words by which text is asked for."""

PLAIN = frozenset(
    re.findall(
        r"\w+",
        """
        a about above after all also always an and any answer are as at be before below best but by
        can category choose class classes classify classification customer customers desk do does
        each either else email every exactly extra following for format from generate given give
        have help helpful here how i if in input instruction into is it its json just keys know
        label labels language least line list make may message messages model most must name names
        never next no none not nothing object of on one only options or other output please possible
        question questions read reply respond response return same say says second select sentence
        shop should so some state step support talking tell text that the their them then there
        these they think this through ticket tickets to today use used user using was we were what
        when where whether which who will with without word words work write writes written wrote
        yes yet you your assistant single
        """,
    )
)
"""Words that say nothing about a task."""
