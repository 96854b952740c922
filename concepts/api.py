"""The names of the package root: what `import concepts` offers."""

from concepts.ablation import ablation_orders, accuracy_without, mean_class_accuracy, silenced
from concepts.average_images import average_image, box_of, patch, strongest_positions
from concepts.cross_validation import Choice, choose_mu
from concepts.features import Features, features_of
from concepts.filter_norms import responses
from concepts.gram import Gram, add, empty_gram, total, without
from concepts.heatmaps import combined, feature_heatmaps
from concepts.lasso import Solution, mu_lasso, mu_lasso_path, project_l1
from concepts.quantiles import Thresholds, exact_thresholds
from concepts.relevant import Relevant, Top, relevant_features, top_features
from concepts.single_filters import Dissection, dissect

__all__ = [
  'Choice',
  'Dissection',
  'Features',
  'Gram',
  'Relevant',
  'Solution',
  'Thresholds',
  'Top',
  'ablation_orders',
  'accuracy_without',
  'add',
  'average_image',
  'box_of',
  'choose_mu',
  'combined',
  'dissect',
  'empty_gram',
  'exact_thresholds',
  'feature_heatmaps',
  'features_of',
  'mean_class_accuracy',
  'mu_lasso',
  'mu_lasso_path',
  'patch',
  'project_l1',
  'relevant_features',
  'responses',
  'silenced',
  'strongest_positions',
  'top_features',
  'total',
  'without',
]
