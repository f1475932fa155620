// Lines over the last hour. A gap is a gap: what is not known is hatched, and never drawn as zero.
import { clock, h, minute, number, s, time } from './dom.js'

/** Runs of indices whose value is known. */
function runs (values) {
  const found = []
  let run = null
  values.forEach((value, index) => {
    if (value === null) run = null
    else if (run) run.push(index)
    else found.push(run = [index])
  })
  return found
}

const path = (points) => points.map(([x, y], index) => `${index ? 'L' : 'M'}${x.toFixed(1)} ${y.toFixed(1)}`).join('')

/** A line as high as a line of text. */
export function spark (values, label) {
  const [width, height] = [120, 24]
  const known = (values ?? []).filter((value) => value !== null)
  const most = Math.max(...known, 0)
  const box = s('svg.spark', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label, preserveAspectRatio: 'none' })
  if (!known.length) {
    box.append(s('line.unknown', { x1: 0, x2: width, y1: height / 2, y2: height / 2 }))
    return box
  }
  const x = (index) => (index + 0.5) / values.length * width
  const y = (value) => height - 2 - (most ? value / most * (height - 5) : 0)
  for (const run of runs(values)) {
    const points = run.map((index) => [x(index), y(values[index])])
    if (points.length === 1) points.push([points[0][0] + width / values.length / 2, points[0][1]])
    box.append(s('path.area', { d: `${path(points)}L${points.at(-1)[0]} ${height}L${points[0][0]} ${height}Z` }))
    box.append(s('path.line', { d: path(points) }))
  }
  return box
}

/** A round number that is no smaller. */
function ceiling (value) {
  if (value <= 0) return 1
  const power = 10 ** Math.floor(Math.log10(value))
  return [1, 1.2, 1.6, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 1.05) ?? power * 20
}

let marks = 0

/**
 * A chart of several lines: `lines` are `{ name, kind, values }`, `unit` is `rate` or `time`. Arrow keys and the pointer
 * read it point by point.
 */
export function chart (title, { from, to, partial = [] }, lines, unit) {
  const say = unit === 'time' ? time : number
  const count = lines[0].values.length
  const known = lines.flatMap(({ values }) => values).filter((value) => value !== null)
  const most = ceiling(Math.max(...known, 0))
  // Text in it has the size of other text, on a phone as well.
  const [width, height, left, bottom, top] = innerWidth <= 800 ? [360, 150, 48, 20, 12] : [600, 170, 48, 20, 12]
  const x = (index) => left + (index + 0.5) / count * (width - left - 4)
  const y = (value) => height - bottom - value / most * (height - bottom - top)
  const hatch = `hatch-${++marks}`
  const box = s('svg', { viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true' },
    s('defs', s('pattern', { id: hatch, width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' },
      s('line.hatch', { x1: 0, y1: 0, x2: 0, y2: 6 }))))
  for (const part of [0, 0.5, 1]) {
    box.append(s('line.grid', { x1: left, x2: width - 4, y1: y(most * part), y2: y(most * part) }))
    box.append(s('text.tick', { x: left - 6, y: y(most * part) + 4, 'text-anchor': 'end' }, say(most * part)))
  }
  // Quarters of an hour, by the clock on the wall.
  const quarter = 15 * 60_000
  for (let at = Math.ceil(from / quarter) * quarter; at < to; at += quarter) {
    const place = left + (at - from) / (to - from) * (width - left - 4)
    box.append(s('line.grid.time', { x1: place, x2: place, y1: top, y2: height - bottom }))
    box.append(s('text.tick', { x: place, y: height - 5, 'text-anchor': place > width - 24 ? 'end' : 'middle' }, minute(at)))
  }
  const slot = (width - left - 4) / count
  const bands = (indices, kind) => {
    for (const run of runs(Array.from({ length: count }, (_, index) => (indices.has(index) ? 0 : null)))) {
      box.append(s(`rect.${kind}`, { x: left + run[0] * slot, y: top, width: run.length * slot, height: height - bottom - top, fill: `url(#${hatch})` }))
    }
  }
  const base = lines[0].base ?? lines[0].values
  bands(new Set(base.flatMap((value, index) => (value === null ? [index] : []))), 'gap')
  bands(new Set(partial), 'partial')
  for (const { kind, values } of lines) {
    for (const run of runs(values)) {
      const points = run.map((index) => [x(index), y(values[index])])
      if (points.length === 1) points.unshift([points[0][0] - slot / 2, points[0][1]])
      if (kind === 'calls') box.append(s('path.area', { d: `${path(points)}L${points.at(-1)[0]} ${y(0)}L${points[0][0]} ${y(0)}Z` }))
      box.append(s(`path.line.${kind}`, { d: path(points) }))
    }
  }
  const cross = s('line.cross', { y1: top, y2: height - bottom })
  box.append(cross)
  const reading = h('p.reading', { 'aria-live': 'polite' })
  const last = base.findLastIndex((value) => value !== null)
  let at = -1
  const read = (index) => {
    at = index
    if (index < 0) {
      cross.setAttribute('visibility', 'hidden')
      legend(last < 0 ? null : last, last < 0 ? 'nothing is known yet' : 'now')
      return
    }
    cross.setAttribute('visibility', 'visible')
    cross.setAttribute('x1', x(index))
    cross.setAttribute('x2', x(index))
    legend(index, clock(from + (index + 1) / count * (to - from)))
  }
  const legend = (index, when) => {
    const isGap = index !== null && base[index] === null
    reading.replaceChildren(...lines.map(({ name, kind, values }) => h(`span.key.${kind}`, name, ' ', h('b', isGap || index === null ? '–' : say(values[index])))),
      h('span.when', isGap ? `${when}: not known` : partial.includes(index) ? `${when}, in part` : when))
  }
  read(-1)
  const figure = h('figure.chart', {
    tabindex: '0',
    'aria-label': `${title}. Arrow keys read it point by point.`,
    onpointermove: (event) => {
      const { left: start, width: wide } = box.getBoundingClientRect()
      const place = (event.clientX - start) / wide * width
      read(Math.max(0, Math.min(count - 1, Math.floor((place - left) / slot))))
    },
    onpointerleave: () => read(-1),
    onblur: () => read(-1),
    onkeydown: (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key]
      if (!way) return
      event.preventDefault()
      read(Math.max(0, Math.min(count - 1, (at < 0 ? count : at) + way)))
    }
  }, h('figcaption', title), reading, box)
  return figure
}

export const rates = (data) => chart('Calls a second', data, [
  { name: 'calls', kind: 'calls', values: data.calls },
  { name: 'errors', kind: 'errors', values: data.errors }
], 'rate')

export const latencies = (data) => chart('How long they took', data, [
  { name: 'p50', kind: 'p50', values: data.p50, base: data.calls },
  { name: 'p95', kind: 'p95', values: data.p95 },
  { name: 'p99', kind: 'p99', values: data.p99 }
], 'time')
