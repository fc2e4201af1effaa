"""Studies: several training methods on the same tasks and seeds, measured on held-out items.

    python -m recipes.tiny.study recipes/tiny/studies/lengths.yaml

Every training and every answer is kept, so that an interrupted study continues; the results are plain files. A part can
be run first and the rest later, as what is done is not done again:

    python -m recipes.tiny.study recipes/tiny/studies/lengths.yaml 'seeds=[1]' jobs=2

Measurements are kept beside the results (:mod:`recipes.tiny.study.kept`); with these alone, another machine continues.
"""
