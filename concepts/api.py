"""The names of the package root: what `import concepts` offers."""

from concepts.ablation import ablation_orders, accuracy_without, mean_class_accuracy, silenced
from concepts.average_images import average_image, box_of, patch, strongest_positions
from concepts.binarised import binarised
from concepts.channel_weights import channel_weights
from concepts.concept_classifiers import (
  Classifier,
  classifier_accuracy,
  start_classifiers,
  train_classifiers,
)
from concepts.concept_masks import Fits, concept_mask, vector_fits
from concepts.concept_scores import (
  by_category,
  by_decile,
  deciles,
  minimal_filters,
  weight_correlations,
  wins,
)
from concepts.concept_vectors import leave_one_out, start_vectors, top_filters, train_vectors
from concepts.cross_validation import Choice, choose_mu
from concepts.embeddings import Embedding, distances, similarities, unit_vectors
from concepts.factor_groups import PatchGroups, patch_groups
from concepts.features import Features, features_of
from concepts.filter_norms import responses
from concepts.filter_use import concepts_above, concepts_of_filters, contributions, filters_used
from concepts.gram import Gram, add, empty_gram, total, without
from concepts.heatmaps import combined, feature_heatmaps
from concepts.labelled_pairs import Pairs
from concepts.lasso import Solution, mu_lasso, mu_lasso_path, project_l1
from concepts.maps import flat_map
from concepts.overlays import OverlayPage, overlay_of, similarity_overlay
from concepts.packing import Packed, pack
from concepts.patch_similarity import Correspondence, correspondence, similarity
from concepts.probe_vectors import Vectors, pairs_of, segment_vectors
from concepts.quantiles import Thresholds, exact_thresholds
from concepts.relevant import Relevant, Top, relevant_features, top_features
from concepts.single_filters import Dissection, dissect
from concepts.sprites import line_table, sprite
from concepts.transforms import (
  enlarged,
  kept_similarity,
  rotated,
  rotation_places,
  scale_places,
  turns_with,
)
from concepts.vector_networks import concept_function
from concepts.word_vectors import read_word_vectors
from concepts.wordnet import WordNet

__all__ = [
  'Choice',
  'Classifier',
  'Correspondence',
  'Dissection',
  'Embedding',
  'Features',
  'Fits',
  'Gram',
  'OverlayPage',
  'Packed',
  'Pairs',
  'PatchGroups',
  'Relevant',
  'Solution',
  'Thresholds',
  'Top',
  'Vectors',
  'WordNet',
  'ablation_orders',
  'accuracy_without',
  'add',
  'average_image',
  'binarised',
  'box_of',
  'by_category',
  'by_decile',
  'channel_weights',
  'choose_mu',
  'classifier_accuracy',
  'combined',
  'concept_function',
  'concept_mask',
  'concepts_above',
  'concepts_of_filters',
  'contributions',
  'correspondence',
  'deciles',
  'dissect',
  'distances',
  'empty_gram',
  'enlarged',
  'exact_thresholds',
  'feature_heatmaps',
  'features_of',
  'filters_used',
  'flat_map',
  'kept_similarity',
  'leave_one_out',
  'line_table',
  'mean_class_accuracy',
  'minimal_filters',
  'mu_lasso',
  'mu_lasso_path',
  'overlay_of',
  'pack',
  'pairs_of',
  'patch',
  'patch_groups',
  'project_l1',
  'read_word_vectors',
  'relevant_features',
  'responses',
  'rotated',
  'rotation_places',
  'scale_places',
  'segment_vectors',
  'silenced',
  'similarities',
  'similarity',
  'similarity_overlay',
  'sprite',
  'start_classifiers',
  'start_vectors',
  'strongest_positions',
  'top_features',
  'top_filters',
  'total',
  'train_classifiers',
  'train_vectors',
  'turns_with',
  'unit_vectors',
  'vector_fits',
  'weight_correlations',
  'wins',
  'without',
]
