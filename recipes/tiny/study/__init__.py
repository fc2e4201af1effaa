"""Studies: several training methods on the same tasks and seeds, measured on held-out items.

    python -m recipes.tiny.study recipes/tiny/studies/length_control.yaml

Every training and every answer is kept, so that an interrupted study continues; the results are plain files.
"""
