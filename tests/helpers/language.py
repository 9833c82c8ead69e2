"""Small language data and settings for several test modules."""

import json

from spdclust.config.run import ClusteringRunConfig

CHECKPOINT = "resources/lm_llama2L/run"
TOKENIZER = "resources/lm_llama2L/tokenizer"
TEXTS = [f"text number {i}: " + " ".join(f"word{(i * j) % 23}" for j in range(10 + i % 7)) for i in range(60)]


def write_jsonl(path, texts=TEXTS, column="story"):
    path.write_text("".join(json.dumps({column: text}) + "\n" for text in texts))
    return path


def run_config(dataset, **settings):
    given = {"name": str(dataset)} if not isinstance(dataset, dict) else dataset
    return ClusteringRunConfig.model_validate(
        {"model_path": CHECKPOINT, "device": "cpu", "batch_size": 4, "dataset": given} | settings
    )
