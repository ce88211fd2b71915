"""The paper's analyses on any model: where attention goes, which layers matter, where time goes, what to leave out."""
