// The one table: a row for each figure, a column for each contestant, and what the figures have to reach.
import { contestants } from './contestants.mjs'

const names = Object.keys(contestants)

export const header = ['figure', 'target', ...names.map(name => contestants[name].title), 'run']

// The middle of several measurements.
export function median (values) {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  return Number.isInteger(middle) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[Math.floor(middle)]
}

// Three digits are more than most machines repeat.
export function show (value) {
  if (value >= 999500) return `${digits(value / 1e6)} M`
  if (value >= 9995) return `${digits(value / 1000)} k`
  return digits(value)
}

function digits (value) {
  if (value >= 100) return value.toFixed(0)
  return value.toPrecision(3).replace(/\.?0+$/, '').replace(/^0\.000.*/, '0')
}

// The cells of one row. `medians` has a value for each contestant that was measured.
export function cells (row, medians, run) {
  const missed = (row.targets || []).filter(target => !met(target, medians))
  const bold = (text, target) => missed.includes(target) ? `**${text}**` : text
  const shown = name => {
    if (medians[name] === undefined) return '–'
    const target = (row.targets || []).find(({ of }) => of === name || (of === undefined && name === 'rachis'))
    const value = show(medians[name])
    if (name === 'rachis') return bold(value, target)
    return `${value} (${bold((medians.rachis / medians[name]).toFixed(2), target)})`
  }
  return [row.name, (row.targets || []).map(describe).join(', '), ...names.map(shown), run]
}

// One that cannot be told is not missed.
function met ({ least, most, of }, medians) {
  const value = of ? medians.rachis / medians[of] : medians.rachis
  return Number.isNaN(value) || (value >= (least ?? -Infinity) && value <= (most ?? Infinity))
}

function describe ({ least, most, of }) {
  const bound = least === undefined ? `≤ ${most}` : `≥ ${least}`
  return of ? `${bound} × ${contestants[of].title.split(/ [\d(]/)[0]}` : bound
}

// Lines of a table, as readable in a terminal as on a page.
export function markdown (rows) {
  const all = [header, ...rows]
  const widths = header.map((_, column) => Math.max(3, ...all.map(row => row[column].length)))
  const line = row => `| ${row.map((cell, column) => cell.padEnd(widths[column])).join(' | ')} |`
  return [line(header), line(widths.map(width => '-'.repeat(width))), ...rows.map(line)]
}
