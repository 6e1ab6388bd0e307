// Shows the page as it is now every few seconds, without blinking and without losing the place, and says how long a load
// will take. Without this script a browser loads the page again by itself.
(() => {
  const INTERVAL = 3000;
  const MINUTE = 60;
  // A node without power does not even refuse.
  const PATIENCE = 10000;
  let seen = null;

  const timeLeft = () => {
    const bar = document.querySelector("progress");
    if (!bar) { seen = null; return; }
    const now = { bytes: bar.value, at: performance.now() };
    if (!seen || now.bytes < seen.first.bytes) { seen = { first: now }; return; }
    const seconds = (now.at - seen.first.at) / 1000;
    const rate = (now.bytes - seen.first.bytes) / seconds;
    const pace = document.querySelector(".pace");
    if (!(rate > 0) || !pace) { return; }
    const left = Math.round((bar.max - now.bytes) / rate);
    const time = left < MINUTE ? `${left} s` : `${Math.round(left / MINUTE)} min`;
    pace.textContent = `, ${(rate / 1e6).toFixed(1)} MB/s, about ${time} left`;
  };

  const renew = async () => {
    try {
      const answer = await fetch(location.href, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE) });
      if (!answer.ok) { throw new Error(answer.statusText); }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      document.title = page.title;
      document.querySelector("main").replaceWith(page.querySelector("main"));
      timeLeft();
    } catch {
      // Whoever looks has to know that what they see is of earlier.
      document.body.dataset.state = "lost";
      setTimeout(renew, INTERVAL);
      return;
    }
    delete document.body.dataset.state;
    setTimeout(renew, INTERVAL);
  };
  addEventListener("DOMContentLoaded", () => { timeLeft(); setTimeout(renew, INTERVAL); });
})();
