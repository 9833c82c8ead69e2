"""What logging to W&B costs a merge: the same merge with and without it, in turns, in one process.

    python benchmarks/tracking.py                     4,000 components × 50,000 samples, as in docs/wandb.md
    python benchmarks/tracking.py --size 1000x10000   smaller

Measured is what the process that merges does: `stages.merge` from start to end, at the default intervals,
W&B offline. A merge under `LIVE_AFTER_SECONDS` is logged from its history afterwards, which is timed
separately; `--live` starts the thread that logs at once instead.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))


def _clock() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", default="4000x50000", help="components x samples")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--live", action="store_true", help="start the thread that logs at once")
    args = parser.parse_args()
    components, samples = map(int, args.size.split("x"))
    os.environ["WANDB_MODE"] = "offline"

    import generate

    from spdclust.config.pipeline import tracking_settings
    from spdclust.config.run import ClusteringRunConfig
    from spdclust.files.activation_batch import ActivationBatch
    from spdclust.files.ensemble_folder import save_run_config
    from spdclust.stages.merge import merge
    from spdclust.tracking import merges
    from spdclust.tracking.runs import TrackedEnsemble

    if args.live:
        merges.LIVE_AFTER_SECONDS = 0.0
    config = ClusteringRunConfig(
        precomputed_activations_dir="benchmark",
        wandb_project="benchmark",
        merge_config={
            "activation_threshold": 0.5,
            "iters": None,
            "filter_dead_threshold": 0,
            "merge_pair_sampling_kwargs": {"threshold": 0},
        },
    )
    with tempfile.TemporaryDirectory(prefix="spdclust_") as temporary:
        root = Path(temporary)
        for name in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
            os.environ[name] = temporary
        (root / "results/logs").mkdir(parents=True)
        place = TrackedEnsemble(root / "results/sampling/ensemble")
        batch = ActivationBatch.from_sparse(
            generate.Model(components).chunk(0, samples), [f"m:{i}" for i in range(components)]
        )
        batch.save(place.batches(0) / "batch_0.pt")
        save_run_config(config.resolved(), place.folder / "clustering_run_config.json")
        settings = tracking_settings(config)
        assert settings is not None
        place = replace(place, tracking=settings)

        def once(logged: bool) -> tuple[float, float]:
            observer = None
            if logged:
                observer = merges.MergeCallback(place, 0)
            wall, cpu = _clock()
            merge(
                [place.batches(0) / "batch_0.pt"],
                config.merge_config.resolved(),
                (0, 0),
                history=place.history(0),
                metrics=place.folder / "runs/run_0/metrics.csv",
                threads=1,
                observer=observer,
            )
            if observer is not None:
                observer.close()
            return time.perf_counter() - wall, time.process_time() - cpu

        once(True)  # kernels are compiled, files are in the cache
        place.note("run_0").unlink(missing_ok=True)
        times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(args.repeats):
            for logged in (False, True):
                times[logged].append(once(logged))
                place.note("run_0").unlink(missing_ok=True)
        medians = {
            key: [statistics.median(column) for column in zip(*each, strict=True)]
            for key, each in times.items()
        }
        print(
            f"{args.size}, {args.repeats} times each, one thread; median seconds of the process that merges"
        )
        for logged, (wall, cpu) in medians.items():
            print(f"  logging {'on ' if logged else 'off'}: wall {wall:.2f}, CPU {cpu:.2f}")
        wall, cpu = (on / off for on, off in zip(medians[True], medians[False], strict=True))
        print(f"  on / off: wall {wall:.3f}, CPU {cpu:.3f}")
        wall, cpu = _clock()
        merges.log_merge(place, 0, again=True)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(f"logged from the history afterwards: wall {wall:.2f}, CPU {cpu:.2f}")


if __name__ == "__main__":
    main()
