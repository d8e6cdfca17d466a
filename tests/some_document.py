"""A document for tests that need one and do not look at most of it."""

from shoal.retrieval.documents import Document


def document_of(name: str = "a", title: str = "A", kind: str = "text") -> Document:
    return Document(
        number=1,
        id="1",
        name=name,
        title=title,
        kind=kind,
        digest=b"",
        size=0,
        modified_ns=0,
        attributes={},
        passages=1,
        at=0.0,
    )
