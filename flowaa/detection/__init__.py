"""Detectors that are trained on inliers and on outliers that were made."""
