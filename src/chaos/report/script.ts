// The timeline's script, first half, as text in the page: decodes the operations (chaos/report/data.ts has
// the format) and draws faults, nodes and clients on one time axis. Draws plain text only, so that nothing
// in the data can become part of the page. Loads nothing, stores nothing.

import { timelineInput } from './script-input.js';

const timelineDrawing = String.raw`
  'use strict';
  var source = document.getElementById('timeline-data');
  var canvas = document.getElementById('timeline');
  if (!source || !canvas || !canvas.getContext) return;
  var data = JSON.parse(source.textContent);
  var context = canvas.getContext('2d');
  var readout = document.getElementById('readout');
  var kinds = ['get', 'put', 'delete', 'cas', 'txn'];
  var statuses = ['ok', 'failed', 'unknown'];
  var lanes = decode();
  var faultRows = packFaults();
  var view = { from: 0, to: data.endMs };
  var rowHeight = 18,
    faultHeight = 17,
    axisHeight = 24,
    gap = 8;
  var size = { width: 0, left: 0, plot: 0, height: 0 };
  var colors = {},
    scheduled = false,
    drag = null,
    pointers = new Map(),
    pinch = null;

  function decode() {
    var text = atob(data.operations),
      position = 0;
    function next() {
      var value = 0,
        scale = 1,
        byte;
      do {
        byte = text.charCodeAt(position++);
        value += (byte & 127) * scale;
        scale *= 128;
      } while (byte & 128);
      return value;
    }
    return data.clients.map(function (name) {
      var count = next(),
        at = 0,
        longest = 0;
      var lane = {
        name: name,
        from: new Float64Array(count),
        to: new Float64Array(count),
        flags: new Uint8Array(count),
        key: new Uint32Array(count),
        longest: 0,
      };
      for (var i = 0; i < count; i++) {
        at += next() / 1000;
        var took = next() / 1000;
        lane.from[i] = at;
        lane.to[i] = at + took;
        lane.flags[i] = next();
        lane.key[i] = next();
        longest = Math.max(longest, took);
      }
      lane.longest = longest;
      return lane;
    });
  }

  // Each fault in the first row in which it touches no other.
  function packFaults() {
    var ends = [],
      margin = data.endMs / 400;
    data.faults.forEach(function (fault) {
      var row = 0;
      while (row < ends.length && ends[row] > fault.from) row++;
      ends[row] = fault.to + margin;
      fault.row = row;
    });
    return Math.max(1, ends.length);
  }

  function readColors() {
    var style = getComputedStyle(document.documentElement);
    [
      'paper',
      'card',
      'ink',
      'soft',
      'line',
      'write',
      'read',
      'failed',
      'unknown',
      'bad',
      'leader',
      'follower',
      'other',
      'down',
      'process',
      'network',
      'clients',
      'disk',
    ].forEach(function (name) {
      colors[name] = style.getPropertyValue('--' + name).trim();
    });
    colors.band = Number(style.getPropertyValue('--band'));
  }

  function layout() {
    var width = canvas.clientWidth,
      ratio = window.devicePixelRatio || 1;
    var height =
      6 +
      faultRows * faultHeight +
      gap +
      data.nodes.length * rowHeight +
      gap +
      lanes.length * rowHeight +
      axisHeight;
    canvas.style.height = height + 'px';
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    var left = width < 600 ? 44 : 64;
    size = { width: width, left: left, plot: Math.max(10, width - left - 8), height: height };
    schedule();
  }

  function x(ms) {
    return size.left + ((ms - view.from) / (view.to - view.from)) * size.plot;
  }
  function timeAt(px) {
    return view.from + ((px - size.left) / size.plot) * (view.to - view.from);
  }
  function faultTop(row) {
    return 6 + row * faultHeight;
  }
  function nodeTop(index) {
    return 6 + faultRows * faultHeight + gap + index * rowHeight;
  }
  function laneTop(index) {
    return nodeTop(data.nodes.length) + gap + index * rowHeight;
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(function () {
      scheduled = false;
      draw();
    });
  }

  function draw() {
    context.clearRect(0, 0, size.width, size.height);
    context.font = '12px system-ui, sans-serif';
    context.textBaseline = 'middle';
    drawAxis();
    context.save();
    context.beginPath();
    context.rect(size.left, 0, size.plot, size.height);
    context.clip();
    drawBands();
    drawNodes();
    lanes.forEach(drawLane);
    drawFaults();
    context.restore();
    drawNames();
  }

  function drawAxis() {
    var span = view.to - view.from,
      steps = [
        1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 3e4, 6e4, 12e4, 3e5, 6e5, 18e5, 36e5,
      ];
    var room = size.width < 600 ? 4 : 9;
    var step =
      steps.find(function (candidate) {
        return span / candidate <= room;
      }) || 72e5;
    context.textAlign = 'center';
    for (var at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
      context.fillStyle = colors.line;
      context.fillRect(Math.round(x(at)), 0, 1, size.height - axisHeight + 4);
      context.fillStyle = colors.soft;
      if (x(at) > size.left + 12 && x(at) < size.width - 16)
        context.fillText(clock(at, step), x(at), size.height - axisHeight / 2 + 2);
    }
  }

  function clock(ms, step) {
    var minutes = Math.floor(ms / 60000),
      seconds = (ms % 60000) / 1000;
    var digits = step >= 1000 ? 0 : step >= 100 ? 1 : step >= 10 ? 2 : 3;
    var text = seconds.toFixed(digits);
    return minutes + ':' + (seconds < 10 ? '0' : '') + text;
  }

  function drawBands() {
    context.globalAlpha = colors.band;
    data.faults.forEach(function (fault) {
      if (fault.to < view.from || fault.from > view.to) return;
      context.fillStyle = colors[fault.group];
      context.fillRect(
        x(fault.from),
        faultTop(fault.row),
        Math.max(1.5, x(fault.to) - x(fault.from)),
        laneTop(lanes.length) - faultTop(fault.row),
      );
    });
    context.globalAlpha = 1;
  }

  function drawFaults() {
    context.textAlign = 'left';
    data.faults.forEach(function (fault) {
      if (fault.to < view.from || fault.from > view.to) return;
      var left = Math.max(size.left, x(fault.from)),
        right = Math.min(size.left + size.plot, x(fault.to));
      context.fillStyle = colors[fault.group];
      context.fillRect(
        x(fault.from),
        faultTop(fault.row) + 1,
        Math.max(2, x(fault.to) - x(fault.from)),
        faultHeight - 3,
      );
      // Half a name says nothing: the colour says the kind, the pointer the rest.
      if (context.measureText(fault.kind).width > right - left - 6) return;
      context.fillStyle = colors.paper;
      context.fillText(fault.kind, left + 4, faultTop(fault.row) + faultHeight / 2);
    });
  }

  function drawNodes() {
    data.phases.forEach(function (phase) {
      var from = phase[3],
        to = phase[4];
      if (to < view.from || from > view.to) return;
      var top = nodeTop(phase[0]),
        condition = phase[1];
      var left = x(from),
        wide = Math.max(1, x(to) - left);
      if (condition === 'down') {
        context.fillStyle = colors.down;
        context.globalAlpha = 0.35;
        context.fillRect(left, top + 7, wide, 4);
        context.globalAlpha = 1;
        return;
      }
      context.fillStyle = colors[condition === 'leader' || condition === 'follower' ? condition : 'other'];
      var high = condition === 'follower' ? 4 : rowHeight - 4;
      context.fillRect(left, top + (rowHeight - high) / 2, wide, high);
      if (condition !== 'leader') return;
      var words = 'term ' + phase[2],
        start = Math.max(left, size.left) + 5;
      if (start + context.measureText(words).width > left + wide - 3) return;
      context.fillStyle = colors.paper;
      context.textAlign = 'left';
      context.fillText(words, start, top + rowHeight / 2);
    });
  }

  function rank(flags) {
    if (flags & 64) return 4;
    var status = (flags >> 3) & 7;
    return status === 2 ? 3 : status === 1 ? 0 : (flags & 7) === 0 ? 1 : 2;
  }

  function drawLane(lane, index) {
    var top = laneTop(index) + 3,
      high = rowHeight - 6,
      names = ['failed', 'read', 'write', 'unknown', 'bad'];
    var first = lowerBound(lane.from, view.from - lane.longest),
      last = lowerBound(lane.from, view.to);
    for (var wanted = 0; wanted < names.length; wanted++) {
      context.fillStyle = colors[names[wanted]];
      var drawn = -1e9;
      for (var i = first; i < last; i++) {
        if (rank(lane.flags[i]) !== wanted || lane.to[i] < view.from) continue;
        var left = x(lane.from[i]),
          right = Math.max(left + 1, x(lane.to[i]) - 0.5);
        if (right <= drawn) continue;
        context.fillRect(Math.max(left, drawn), top, right - Math.max(left, drawn), high);
        drawn = right;
        if (right - left < 70) continue;
        var onStrong = wanted === 3 ? '#1b1d20' : colors.paper;
        context.fillStyle = wanted < 2 ? colors.ink : onStrong;
        context.textAlign = 'left';
        context.save();
        context.beginPath();
        context.rect(left, top, right - left - 3, high);
        context.clip();
        context.fillText(
          kinds[lane.flags[i] & 7] + ' ' + data.keys[lane.key[i]],
          Math.max(left, size.left) + 4,
          top + high / 2,
        );
        context.restore();
        context.fillStyle = colors[names[wanted]];
      }
    }
  }

  function lowerBound(values, wanted) {
    var low = 0,
      high = values.length;
    while (low < high) {
      var middle = (low + high) >> 1;
      if (values[middle] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  function drawNames() {
    context.textAlign = 'right';
    context.fillStyle = colors.soft;
    context.fillText('faults', size.left - 6, faultTop(0) + faultHeight / 2);
    data.nodes.forEach(function (name, index) {
      context.fillText(name.slice(0, 9), size.left - 6, nodeTop(index) + rowHeight / 2);
    });
    lanes.forEach(function (lane, index) {
      context.fillText(lane.name.slice(0, 9), size.left - 6, laneTop(index) + rowHeight / 2);
    });
  }
`;

/** The whole script. */
export const reportScript = `(function () {${timelineDrawing}${timelineInput}})();`;
