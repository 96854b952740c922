"""What the tests of the pages in a browser share; the fixtures are in conftest.py."""

import numpy as np

DESKTOP, PHONE = {'width': 1280, 'height': 900}, {'width': 390, 'height': 844}


def runs_off(page):
  """Whether something is wider than the window."""
  return page.evaluate('document.documentElement.scrollWidth > innerWidth')


def contrasts(page, names):
  """Contrast (WCAG 2) of each colour, a CSS variable, on the two backgrounds: the smaller one."""
  light = {name: _luminance(_colour(page, name)) for name in ('paper', 'raised', *names)}

  def contrast(name, under):
    low, high = sorted((light[name], light[under]))
    return (high + 0.05) / (low + 0.05)

  return {name: min(contrast(name, under) for under in ('paper', 'raised')) for name in names}


def background_is_light(page):
  return _luminance(_colour(page, 'paper')) > 0.5


def _colour(page, name):
  return page.evaluate(f"""(() => {{
    const probe = document.body.appendChild(document.createElement('i'));
    probe.style.color = 'var(--{name})';
    return getComputedStyle(probe).color.match(/\\d+/g).map(Number);
  }})()""")


def _luminance(colour):
  """Of an sRGB colour in 0 to 255."""
  share = np.array(colour) / 255
  linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
  return float(linear @ [0.2126, 0.7152, 0.0722])


def nameless(page):
  """What can be used, or is a picture, and has no name for those who do not see it."""
  kinds = 'a, button, input, select, img, [role=img]'
  return page.evaluate(f"""[...document.querySelectorAll('{kinds}')]
    .filter(node => node.checkVisibility())
    .filter(node => !(node.getAttribute('aria-label') || node.hasAttribute('alt')
                      || node.innerText?.trim()
                      || [...node.labels || []].some(label => label.innerText.trim())))
    .map(node => node.outerHTML)""")
