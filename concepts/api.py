"""The names of the package root: what `import concepts` offers."""

from concepts.ablation import ablation_orders, accuracy_without, mean_class_accuracy, silenced
from concepts.average_images import average_image, box_of, patch, strongest_positions
from concepts.concept_scores import (
  by_category,
  by_decile,
  deciles,
  minimal_filters,
  weight_correlations,
  wins,
)
from concepts.cross_validation import Choice, choose_mu
from concepts.embeddings import Embedding, distances, similarities, unit_vectors
from concepts.features import Features, features_of
from concepts.filter_norms import responses
from concepts.filter_use import concepts_above, concepts_of_filters, contributions, filters_used
from concepts.gram import Gram, add, empty_gram, total, without
from concepts.heatmaps import combined, feature_heatmaps
from concepts.lasso import Solution, mu_lasso, mu_lasso_path, project_l1
from concepts.maps import flat_map
from concepts.quantiles import Thresholds, exact_thresholds
from concepts.relevant import Relevant, Top, relevant_features, top_features
from concepts.single_filters import Dissection, dissect
from concepts.word_vectors import read_word_vectors
from concepts.wordnet import WordNet

__all__ = [
  'Choice',
  'Dissection',
  'Embedding',
  'Features',
  'Gram',
  'Relevant',
  'Solution',
  'Thresholds',
  'Top',
  'WordNet',
  'ablation_orders',
  'accuracy_without',
  'add',
  'average_image',
  'box_of',
  'by_category',
  'by_decile',
  'choose_mu',
  'combined',
  'concepts_above',
  'concepts_of_filters',
  'contributions',
  'deciles',
  'dissect',
  'distances',
  'empty_gram',
  'exact_thresholds',
  'feature_heatmaps',
  'features_of',
  'filters_used',
  'flat_map',
  'mean_class_accuracy',
  'minimal_filters',
  'mu_lasso',
  'mu_lasso_path',
  'patch',
  'project_l1',
  'read_word_vectors',
  'relevant_features',
  'responses',
  'silenced',
  'similarities',
  'strongest_positions',
  'top_features',
  'total',
  'unit_vectors',
  'weight_correlations',
  'wins',
  'without',
]
