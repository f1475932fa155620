// The place of the table in the documentation.
import { readFileSync, writeFileSync } from 'node:fs'
import { header, markdown } from './table.mjs'

const BEGIN = '<!-- figures: written by scripts/bench.sh -->'
const END = '<!-- end of figures -->'

// Puts the rows of this run in the place of those that have the same names. Other rows stay, unless no figure is called
// so any longer; `order` has the names of all there are. Each run has notes, which stay as long as a row of it does.
export function update (path, order, rows, notes) {
  const page = readFileSync(path, 'utf8')
  const [head, old, tail] = page.split(BEGIN).flatMap(part => part.split(END))
  if (tail === undefined) throw new Error(`${path} lacks the lines ${BEGIN} and ${END}`)
  const byName = new Map([...parse(old), ...rows].map(row => [row[0], row]))
  const kept = order.filter(name => byName.has(name)).map(name => byName.get(name))
  const runs = new Set(kept.map(row => row.at(-1)))
  const oldNotes = old.split('\n').filter(line => line.startsWith('- ') && !notes.includes(line))
  const keptNotes = [...oldNotes, ...notes].filter(note => runs.has(runOf(note)))
  writeFileSync(path, [head + BEGIN, '', ...markdown(kept), '', ...keptNotes, '', END + tail].join('\n'))
}

// The rows that a page has.
export function parse (text) {
  const lines = text.split('\n').filter(line => line.startsWith('| ')).slice(2)
  const rows = lines.map(line => line.slice(2, -2).split(' | ').map(cell => cell.trim()))
  // Rows of other columns would say something else now.
  return rows.filter(row => row.length === header.length)
}

// One thing to know of a run.
export function note (run, text) {
  return `- ${run}: ${text}`
}

function runOf (line) {
  return line.slice(2, line.indexOf(': '))
}
