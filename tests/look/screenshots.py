"""Pictures of a page, as the README has them:

    python tests/look/screenshots.py PAGE LAYER PICTURE [--width W] [--height H] [--theme dark]

LAYER is opened, its first map enlarged and the map's middle pointed at.
"""

import argparse
import shutil
from pathlib import Path


def chromium():
    """Chromium without a window and without a network, driven by selenium."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    for argument in (
        "headless=new",
        "no-sandbox",  # which root cannot have
        "disable-gpu",
        "disable-dev-shm-usage",
        "disable-background-networking",
        "hide-scrollbars",
        "host-resolver-rules=MAP * ~NOTFOUND",
    ):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


def load(driver, address, width, height, theme):
    """A page anew, in a window of that size and a theme: light or dark."""
    command = driver.execute_cdp_cmd
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    command("Emulation.setDeviceMetricsOverride", size)
    features = [{"name": "prefers-color-scheme", "value": theme}]
    command("Emulation.setEmulatedMedia", {"features": features})
    driver.get("about:blank")
    driver.get(address)


def screenshot(driver, address, layer, path, width=1400, height=860, theme="light"):
    load(driver, address, width, height, theme)
    driver.execute_async_script(
        """
        const [name, then] = arguments;
        const details = document.getElementById(`layer-${name}`).closest("details");
        details.addEventListener("toggle", () => {
          details.querySelector(".tile")?.click();
          const shown = scene.layers[name].shape;
          const [rows, columns] = shown.length === 3 ? shown.slice(1) : [1, shown[0]];
          const frame = details.querySelector(".stages");
          const press = (key, times) => {
            const event = () => new KeyboardEvent("keydown", { key });
            for (let i = 0; i < times; i++) frame.dispatchEvent(event());
          };
          press("ArrowDown", Math.floor(rows / 2));
          press("ArrowRight", Math.floor(columns / 2));
          details.scrollIntoView();
          setTimeout(then, 1000);
        });
        details.open = true;
        """,
        layer,
    )
    Path(path).write_bytes(driver.get_screenshot_as_png())


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    for name in "page", "layer", "picture":
        parser.add_argument(name, metavar=name.upper())
    parser.add_argument("--width", type=int, default=1400)
    parser.add_argument("--height", type=int, default=860)
    parser.add_argument("--theme", default="light", choices=("light", "dark"))
    asked = parser.parse_args()
    driver = chromium()
    try:
        address = Path(asked.page).resolve().as_uri()
        screenshot(
            driver, address, asked.layer, asked.picture, asked.width, asked.height, asked.theme
        )
    finally:
        driver.quit()


if __name__ == "__main__":
    main()
