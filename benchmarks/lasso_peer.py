"""The peers of benchmarks/lasso.py: scikit-learn's and celer's Lasso, on stdin/stdout.

Both are given the multiplier that has the solution for mu, which they would otherwise have to look
for, and scikit-learn the Gram matrix too. Runs in an environment of its own:

  pip install numpy scikit-learn==1.9.1 celer==0.7.4
"""

import json
import sys
import time

import numpy as np


def solvers(x, products, tolerance):
  """The Lasso of each peer, for the penalty of a class. Both stop at a gap of tolerance ||l||^2."""
  from celer import Lasso as Celer
  from sklearn.linear_model import Lasso

  common = {'fit_intercept': False, 'tol': tolerance}

  def scikit_learn(alpha, labels):
    lasso = Lasso(alpha, precompute=products, max_iter=10**6, **common)
    return lasso.fit(x, labels, check_input=False).coef_

  def celer(alpha, labels):
    return Celer(alpha, max_epochs=10**6, **common).fit(x, labels).coef_

  return {'scikit-learn': scikit_learn, 'celer': celer}


def main() -> None:
  replies, sys.stdout = sys.stdout, sys.stderr
  path, found = None, {}
  for line in sys.stdin:
    request = json.loads(line)
    if request['responses'] != path:
      path = request['responses']
      x = np.asfortranarray(np.load(path), np.float64)
      found = solvers(x, x.T @ x, request['tolerance'])
    solver = found[request['solver']]
    labels = np.load(request['x']).astype(np.float64)
    solver(1.0, labels[0])  # What it compiles is not counted; the solution is zero.
    start = time.process_time()
    weights = [solver(*pair) for pair in zip(request['alphas'], labels, strict=True)]
    seconds = time.process_time() - start
    np.save(request['out'], np.stack(weights))
    print(json.dumps({'seconds': seconds}), file=replies, flush=True)


if __name__ == '__main__':
  main()
