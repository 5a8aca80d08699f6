"""From logits to what people ask for: entities in texts, answers in contexts."""

from .answers import Answer, QuestionAnsweringResult, answer_questions
from .documents import document_logits
from .entities import Entity, TaggedWord, TokenClassificationResult, find_entities, tag_words

__all__ = [
    "Answer",
    "Entity",
    "QuestionAnsweringResult",
    "TaggedWord",
    "TokenClassificationResult",
    "answer_questions",
    "document_logits",
    "find_entities",
    "tag_words",
]
