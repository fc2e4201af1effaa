"""Ready-made experiments: YAML descriptions, data generators and converters."""
