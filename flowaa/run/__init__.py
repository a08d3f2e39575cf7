"""A run: trained (`train`), restored (`load_run`), and used (`Run`)."""

from flowaa.run.loading import load_run, run_of, spec_from_json, spec_to_json
from flowaa.run.run import Outliers, Run

__all__ = ["Outliers", "Run", "load_run", "run_of", "spec_from_json", "spec_to_json"]
