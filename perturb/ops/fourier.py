"""Images parameterised by their spectrum, with decorrelated colours.

Natural images have large low frequencies and colours that vary together; in these coordinates a
gradient step of an optimiser looks like one. Source: Olah, Mordvintsev and Schubert, "Feature
Visualization", Distill 2017. Shapes: N images of H x W pixels.
"""

import jax
import jax.numpy as jnp
import numpy as np

# A square root of the covariance of ImageNet's colours, scaled so that its longest column is 1.
_COVARIANCE_ROOT = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
COLOURS = (_COVARIANCE_ROOT / np.linalg.norm(_COVARIANCE_ROOT, axis=0).max()).astype(np.float32)
CONTRAST = 4.0  # What the image is divided by before the sigmoid.


def gains(size: tuple[int, int], decay: float) -> np.ndarray:
  """What each frequency is multiplied by, `[H, W // 2 + 1]`: its inverse, to the power `decay`."""
  rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1])[None]
  frequency = np.maximum(np.hypot(rows, columns), 1 / max(size))
  return (np.sqrt(size[0] * size[1]) / frequency**decay).astype(np.float32)


def random_spectra(
  key: jax.Array, count: int, size: tuple[int, int], deviation: float = 0.01
) -> jax.Array:
  """Independent normal parameters `[N, H, W // 2 + 1, 3, 2]`: real and imaginary parts."""
  return deviation * jax.random.normal(key, (count, size[0], size[1] // 2 + 1, 3, 2), jnp.float32)


def images_of(spectra: jax.Array, size: tuple[int, int], decay: float = 1.0) -> jax.Array:
  """The images of some spectra.

  Args:
    spectra: `[N, H, W // 2 + 1, 3, 2]`, see `random_spectra`.
    size: (H, W) of the images in pixels.
    decay: exponent of the frequency, 1 for natural images; 0 weighs all alike.

  Returns:
    RGB `[N, H, W, 3]` in (0, 1).
  """
  scaled = jax.lax.complex(spectra[..., 0], spectra[..., 1]) * gains(size, decay)[..., None]
  values = jnp.fft.irfft2(scaled, s=size, axes=(1, 2)) / CONTRAST
  return jax.nn.sigmoid(values @ COLOURS.T)
