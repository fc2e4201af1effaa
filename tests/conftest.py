import torch
from hypothesis import settings

# A busy machine must not fail a test by being slow; 50 examples keep the suite quick.
settings.register_profile("lipo", deadline=None, max_examples=50)
settings.load_profile("lipo")
torch.set_num_threads(1)
