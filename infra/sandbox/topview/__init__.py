"""TopView's Video Avatar: uploads, tasks, catalogues, credits and notices, in envelopes with string codes."""
