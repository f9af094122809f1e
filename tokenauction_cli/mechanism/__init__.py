"""The paper, one idea per file: pure functions on arrays that know no model, file or terminal."""
