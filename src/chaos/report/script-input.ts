// The timeline's script, second half, as text in the page: what is under the pointer, zooming and moving.
// Stands inside the function that chaos/report/script.ts opens, and writes plain text only.

export const timelineInput = String.raw`
  // What is under the pointer, in words.
  function describe(px, py) {
    var at = timeAt(px),
      slack = ((view.to - view.from) / size.plot) * 3,
      found = '';
    if (py < nodeTop(0)) {
      data.faults.forEach(function (fault) {
        if (
          py >= faultTop(fault.row) &&
          py < faultTop(fault.row) + faultHeight &&
          at >= fault.from - slack &&
          at <= fault.to + slack
        )
          found =
            'fault ' +
            fault.id +
            ', ' +
            fault.kind +
            ': ' +
            fault.words +
            ' (' +
            span(fault.from, fault.to) +
            ')';
      });
    } else if (py < laneTop(0)) {
      data.phases.forEach(function (phase) {
        if (
          py >= nodeTop(phase[0]) &&
          py < nodeTop(phase[0]) + rowHeight &&
          at >= phase[3] &&
          at <= phase[4]
        )
          found =
            data.nodes[phase[0]] +
            ': ' +
            (phase[1] === 'down' ? 'no answer' : phase[1] + ' in term ' + phase[2]) +
            ' (' +
            span(phase[3], phase[4]) +
            ')';
      });
    } else {
      var lane = lanes[Math.floor((py - laneTop(0)) / rowHeight)];
      if (lane) {
        for (
          var i = lowerBound(lane.from, at + slack) - 1;
          i >= 0 && lane.from[i] >= at - slack - lane.longest;
          i--
        ) {
          if (lane.to[i] < at - slack) continue;
          found =
            lane.name +
            ': ' +
            kinds[lane.flags[i] & 7] +
            ' ' +
            data.keys[lane.key[i]] +
            ', ' +
            statuses[(lane.flags[i] >> 3) & 7] +
            ' (' +
            span(lane.from[i], lane.to[i]) +
            ')';
          break;
        }
      }
    }
    readout.textContent = found || clock(Math.max(0, at), 10);
  }

  function span(from, to) {
    var took = to - from;
    return (
      'at ' +
      clock(from, 10) +
      ', ' +
      (took < 1000 ? took.toFixed(1) + ' ms' : (took / 1000).toFixed(1) + ' s')
    );
  }

  function show(from, to) {
    var least = 2,
      wide = Math.min(data.endMs, Math.max(least, to - from));
    var start = Math.min(Math.max(0, from), data.endMs - wide);
    view = { from: start, to: start + wide };
    schedule();
  }

  function zoom(factor, px) {
    var at = px === undefined ? (view.from + view.to) / 2 : timeAt(px);
    show(at - (at - view.from) * factor, at + (view.to - at) * factor);
  }

  function move(share) {
    var by = (view.to - view.from) * share;
    show(view.from + by, view.to + by);
  }

  function place(event) {
    var box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  canvas.addEventListener(
    'wheel',
    function (event) {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        zoom(Math.exp(event.deltaY / 300), place(event).x);
      } else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        move(event.deltaX / size.plot);
      }
    },
    { passive: false },
  );
  canvas.addEventListener('pointerdown', function (event) {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    drag = { x: place(event).x, from: view.from, to: view.to };
    pinch = pointers.size === 2 ? { apart: apart(), from: view.from, to: view.to } : null;
  });
  canvas.addEventListener('pointermove', function (event) {
    var at = place(event);
    describe(at.x, at.y);
    if (!pointers.has(event.pointerId)) return;
    pointers.set(event.pointerId, at);
    if (pinch) {
      var middle = (pinch.from + pinch.to) / 2,
        half = (((pinch.to - pinch.from) / 2) * pinch.apart) / Math.max(20, apart());
      show(middle - half, middle + half);
    } else if (drag) {
      var by = ((drag.x - at.x) / size.plot) * (drag.to - drag.from);
      show(drag.from + by, drag.to + by);
    }
  });
  ['pointerup', 'pointercancel'].forEach(function (name) {
    canvas.addEventListener(name, function (event) {
      pointers.delete(event.pointerId);
      drag = null;
      pinch = null;
    });
  });
  canvas.addEventListener('dblclick', function (event) {
    zoom(0.4, place(event).x);
  });
  canvas.addEventListener('keydown', function (event) {
    var actions = {
      ArrowLeft: function () {
        move(-0.2);
      },
      ArrowRight: function () {
        move(0.2);
      },
      '+': function () {
        zoom(0.6);
      },
      '=': function () {
        zoom(0.6);
      },
      '-': function () {
        zoom(1 / 0.6);
      },
      0: function () {
        show(0, data.endMs);
      },
    };
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  });
  function apart() {
    var all = Array.from(pointers.values());
    return Math.abs(all[0].x - all[1].x);
  }

  document.addEventListener('click', function (event) {
    var button = event.target.closest ? event.target.closest('button[data-zoom], button[data-show]') : null;
    if (!button) return;
    if (button.dataset.show) {
      var range = button.dataset.show.split(' ').map(Number),
        margin = Math.max(200, (range[1] - range[0]) * 0.6);
      show(range[0] - margin, range[1] + margin);
      canvas.scrollIntoView({ block: 'center' });
      canvas.focus({ preventScroll: true });
    } else if (button.dataset.zoom === 'all') show(0, data.endMs);
    else zoom(Number(button.dataset.zoom));
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', function () {
    readColors();
    schedule();
  });
  window.addEventListener('resize', layout);
  readColors();
  layout();
  draw();
  document.documentElement.dataset.timeline = 'drawn';
`;
