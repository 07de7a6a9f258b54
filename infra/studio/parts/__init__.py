"""The parts that run together in the embedded studio, one module each."""
