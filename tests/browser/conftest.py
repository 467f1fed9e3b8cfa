"""A real JupyterLab in a real browser: one page for all tests, and the kernel asked directly what it holds."""

from __future__ import annotations

import ast
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--no-first-run", "--disable-quic", "--disable-dev-shm-usage", "--force-color-profile=srgb"),
]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "notebook-extension/tracker": {"windowingMode": "none"},
    "docmanager-extension/plugin": {"autosave": False},
}
OPEN = """async ([path]) => {
  const app = window.jupyterapp; await app.restored;
  const panel = await app.commands.execute('docmanager:open', {path, factory: 'Notebook'});
  await panel.context.ready; await panel.revealed; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
  return panel.sessionContext.session.kernel.id; }"""
RUN = """async () => {
  const app = window.jupyterapp, panel = app.shell.currentWidget;
  const ok = await app.commands.execute('notebook:run-all-cells');
  const errors = panel.content.model.sharedModel.cells.flatMap(cell => (cell.outputs || [])
    .filter(output => output.output_type === 'error').map(output => output.ename + ': ' + output.evalue));
  return {ok, errors}; }"""
RESTART = "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart(); }"
INFO = "async () => { await window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info; }"
CLOSE = """async () => {
  const panel = window.jupyterapp.shell.currentWidget; if (!panel?.sessionContext) return;
  await panel.sessionContext.shutdown(); panel.context.model.dirty = false; panel.close(); }"""
CELLS = "() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells.map(cell => cell.source)"
# contrast of every visible piece of text with what lies behind it (WCAG 2.2, 1.4.3), the lowest first
CONTRASTS = r"""(root) => {
  const numbers = (colour) => { const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number); return [r, g, b, a]; };
  const over = (top, below) => [0, 1, 2].map(i => top[3] * top[i] + (1 - top[3]) * below[i]);
  const linear = (v) => v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
  const behind = (element) => { const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(numbers(getComputedStyle(at).backgroundColor));
    return layers.reduce((below, top) => over(top, below), [255, 255, 255]); };
  const texts = [...document.querySelectorAll(`${root} *`)].filter(e => e.getClientRects().length && !e.disabled
    && e.tagName !== 'OPTION' && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()));
  return texts.map(e => { const back = behind(e), ink = over(numbers(getComputedStyle(e).color), back);
    const [dark, light] = [luminance(back), luminance(ink)].sort((a, b) => a - b);
    return [(light + 0.05) / (dark + 0.05), e.className + ': ' + e.textContent.slice(0, 40)]; })
    .sort((a, b) => a[0] - b[0]); }"""
UNNAMED = """(root) => [...document.querySelectorAll(`${root} :is(button, select, input, img, [tabindex='0'])`)]
  .filter(e => e.getClientRects().length && !e.hasAttribute('alt') && !e.getAttribute('aria-label')
    && !e.labels?.length && !e.textContent.trim()).map(e => e.outerHTML.slice(0, 150))"""
CLIPPED = """(root) => [...document.querySelectorAll(`${root} :is(p, h3, label, td, th, li, button, output, span)`)]
  .filter(e => e.getClientRects().length && getComputedStyle(e).display !== 'inline')
  .filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => e.className + ': ' + e.textContent.slice(0, 40))"""


def chromium() -> str:
    """The browser: $CHROMIUM, or one on the path; the test is skipped where there is none."""
    pytest.importorskip("playwright.sync_api", reason="needs playwright (extra dev)")
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("needs chromium on the path, or its place in the environment variable CHROMIUM")
    return found


def start_server(root: Path, token: str) -> tuple[subprocess.Popen[bytes], int]:
    """JupyterLab with all its files below `root`; the process and its port."""
    for name, values in SETTINGS.items():
        file = root / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folders = {f"JUPYTER_{name}_DIR": root / name for name in ("RUNTIME", "CONFIG", "DATA")}
    folders |= {"JUPYTERLAB_SETTINGS_DIR": root / "settings", "JUPYTERLAB_WORKSPACES_DIR": root / "workspaces"}
    folders |= {"IPYTHONDIR": root / "ipython", "MPLCONFIGDIR": root / "matplotlib"}
    first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # the kernel is called plain "python"
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={root / 'work'}"),
        *("--expose-app-in-browser", "--LabApp.news_url=None"),
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    environment = os.environ | {name: str(path) for name, path in folders.items()} | {"PATH": first}
    with open(root / "lab.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    for _ in range(600):
        assert process.poll() is None, (root / "lab.log").read_text()
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status?token={token}", timeout=2).close()
            return process, port
        except OSError:
            time.sleep(0.1)
    raise TimeoutError((root / "lab.log").read_text())


@dataclass
class Lab:
    """The page, the folder that the server shows, and where screenshots go."""

    page: Any
    root: Path
    pictures: Path
    kernel_id: str = ""

    def open(self, notebook: Path) -> None:
        """Open a copy of a notebook without running it; what a failed test left open is closed."""
        self.close()
        name = f"{notebook.stem}_{secrets.token_hex(3)}.ipynb"
        shutil.copy(notebook, self.root / "work" / name)
        self.kernel_id = self.page.evaluate(OPEN, [name])

    def run_all(self) -> None:
        """Run all cells; a cell that fails fails the test."""
        result = self.page.evaluate(RUN)
        assert result["ok"] and not result["errors"], result

    def restart(self) -> None:
        """Restart the kernel; what it held is gone."""
        self.page.evaluate(RESTART)

    def close(self) -> None:
        """Close the notebook and its kernel."""
        self.page.evaluate(CLOSE)
        self.page.wait_for_function("() => !document.querySelector('.jp-NotebookPanel')")

    def ask(self, expression: str) -> Any:
        """What the kernel really holds: the value of an expression, a literal."""
        from jupyter_client import BlockingKernelClient

        client = BlockingKernelClient()
        client.load_connection_file(str(self.root / "RUNTIME" / f"kernel-{self.kernel_id}.json"))
        client.start_channels(hb=False)  # whose thread may open its socket too late
        try:
            reply = client.execute("", silent=True, user_expressions={"v": expression}, reply=True, timeout=60)
        finally:
            client.stop_channels()
            client.context.destroy(linger=0)  # of its own, with threads and files
        value = reply["content"]["user_expressions"]["v"]
        assert value["status"] == "ok", value
        return ast.literal_eval(value["data"]["text/plain"])

    def cells(self) -> list[str]:
        """The sources of the notebook's cells."""
        return list(self.page.evaluate(CELLS))

    def check_readable(self, root: str, theme: str, texts: int) -> None:
        """Change to a theme ("Light", "Dark"), and check that what an element holds, at least so many texts, has enough
        contrast (WCAG 2.2 AA), that no control is without a name and no text is clipped."""
        command = f"window.jupyterapp.commands.execute('apputils:change-theme', {{theme: 'JupyterLab {theme}'}})"
        self.page.evaluate(f"() => {command}")
        self.page.wait_for_function(f"() => document.body.dataset.jpThemeLight === '{str(theme == 'Light').lower()}'")
        self.page.wait_for_function("() => !document.querySelector('#jupyterlab-splash')")  # shown meanwhile
        contrasts = self.page.evaluate(CONTRASTS, root)
        assert len(contrasts) >= texts and contrasts[0][0] >= 4.5, contrasts[:5]
        assert self.page.evaluate(UNNAMED, root) == [] and self.page.evaluate(CLIPPED, root) == []

    def kill(self) -> None:
        """Kill the kernel's process as the system would, and go on when JupyterLab has started another one."""
        os.kill(int(self.ask("__import__('os').getpid()")), signal.SIGKILL)
        self.page.get_by_role("dialog", name="Kernel Restarting").get_by_role("button").click()
        self.page.evaluate(INFO)

    def screenshot(self, name: str, of: str | None = None) -> None:
        """A picture of the page, or of the first element that a selector finds, into the folder of CI's logs."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        (self.page.locator(of).first if of else self.page).screenshot(path=str(self.pictures / f"{name}.png"))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab and one page for the session."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    root, token = tmp_path_factory.mktemp("lab"), secrets.token_hex(16)
    (root / "work").mkdir()
    process, port = start_server(root, token)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=executable, headless=True, args=CHROMIUM)
            page = browser.new_page(viewport={"width": 1440, "height": 1500})
            page.set_default_timeout(60_000)
            page.goto(f"http://127.0.0.1:{port}/lab?reset&token={token}")
            page.wait_for_function("() => !!window.jupyterapp")
            yield Lab(page, root, Path(os.environ.get("A2LC_CI_LOGS", root / "screenshots")))
            browser.close()
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # our own group: the server stops its kernels
        process.wait(30)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Keep a picture of the page where a test failed, before its fixtures close it."""
    report = (yield).get_result()  # type: ignore[misc]
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.failed and isinstance(lab, Lab):
        lab.screenshot(f"failed-{item.name}")
