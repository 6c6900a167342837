// The moments of a training: a slider goes through them, on one scale, as a film does.

const PACE = 700; // milliseconds a moment
let playing = null;

/** Show another moment; metric, scale, clip, marked point, zoom and camera stay as they are. */
async function showMoment(number) {
  const run = runs[number];
  if (!run.values.size) await run.load();
  if (Number($("time").value) !== number) return; // the slider has gone on meanwhile
  present(run);
  if (run.isCurve) drawCurves();
  else drawMetric();
  $("said").textContent = run.name;
}

function fillTime(run) {
  $("time").value = String(page.number);
  $("time").setAttribute("aria-valuetext", run.name);
  $("time-name").textContent = run.name;
}

/** Play the training from where the slider is, from the start again at its end; or stop. */
function play() {
  if (playing !== null) {
    pause();
    return;
  }
  $("play").textContent = "Pause";
  const next = () => {
    const number = (page.number + 1) % runs.length;
    $("time").value = String(number);
    showMoment(number);
  };
  next();
  playing = setInterval(next, PACE);
}

function pause() {
  clearInterval(playing);
  playing = null;
  $("play").textContent = "Play";
}
