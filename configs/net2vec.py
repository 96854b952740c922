"""Which filters, alone and together, stand for the concepts of a labelled dataset."""

import ml_collections

from configs import common, scenes

# Below their ReLUs: above, these have a ceiling of 6, at which the largest activations of many
# filters are tied, so that none is among the largest 1 in 200.
LAYERS = ('blocks.4.expand_norm', 'blocks.6.expand_norm', 'blocks.10.expand_norm', 'head.norm')


def get_config() -> ml_collections.ConfigDict:
  """Net2Vec (CVPR 2018) of EfficientNet-Lite0 on generated scenes, in five minutes on two cores."""
  config = ml_collections.ConfigDict()
  config.task = 'net2vec'

  # The pictures, with labelled pixels, and the network.
  config.dataset = ''  # 'broden:FOLDER', 'labels:FOLDER'; '' makes scenes first, as `scenes` says.
  config.scenes = scenes.get_config()  # What is made.
  del config.scenes['task']
  common.add_network(config)
  config.layers = LAYERS  # From the first of the network to the last.

  # When a filter is active.
  config.tau = 0.005  # The share of all its activations that exceeds its threshold.
  config.align_corners = True  # Of the upsampling to label maps, as in the released code.

  # Vectors of all concepts that have pictures for training and for validation.
  config.learned = ('segmentation', 'classification')  # What they are learned for.
  config.loss = 'overlap'  # Of segmentation: 'overlap', as released, without a logarithm; or 'bce'.
  config.epochs = 30  # Times that each training picture of a concept is seen.
  config.batch_size = 64  # Pictures a step.
  # Of segmentation, whose loss is a sum over 112 x 112 pixels. The paper's, for BRODEN's thousands
  # of pictures a concept, is 1e-4; a few hundred take few steps, and need larger ones.
  config.learning_rate = 1e-2
  config.classifier_rate = 1e-2  # Of classification, whose loss is a mean. The paper's is 1e-4.
  config.momentum = 0.9  # Of the optimiser, stochastic gradient descent.
  config.subsets = (1, 2, 4, 8, 16, 32, 64, 128)  # Filters a concept, of the last layer.
  config.seed = 0  # Of the first weights, of negatives, and of the map.

  # What concepts are compared with; '' for nothing.
  config.wordnet = ''  # Folder of WordNet's database, as Debian's /usr/share/wordnet.
  config.words = ''  # File of word vectors in GloVe's format.

  # The run.
  config.examples = 4  # Validation pictures of each concept on the page.
  config.batch = 0  # Images that a device takes at once; 0: as many as suit it.
  config.workers = 4  # Threads of each process that read and resize pictures.
  return config
