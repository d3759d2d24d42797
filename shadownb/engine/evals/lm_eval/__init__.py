"""lm-evaluation-harness (EleutherAI, MIT) as it is, on loaded models: any task of it, from the hub, a YAML file or local data."""
