"""Studies of merging: every method with its scale chosen on validation items, then compared on held-out items.

    python -m recipes.tiny.merge_study recipes/tiny/studies/merging.yaml

Merged models and answers are kept, so that an interrupted study continues; the results are plain files.
"""
