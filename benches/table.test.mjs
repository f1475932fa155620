import assert from 'node:assert'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { note, parse, update } from './page.mjs'
import { cells, header, markdown, median, show } from './table.mjs'

const folder = mkdtempSync(join(tmpdir(), 'table-'))
after(() => rmSync(folder, { recursive: true }))

const row = (name, value, run) => cells({ name }, { rachis: value }, run)
const column = title => header.indexOf(title)

test('the median is the middle one, or between the two in the middle', () => {
  assert.equal(median([30, 1, 2]), 2)
  assert.equal(median([4, 1]), 2.5)
})

test('a number has three digits', () => {
  const shown = [0, 0.01234, 0.5, 9.999, 12.9, 100, 1234, 9999, 61234, 999999, 1234567].map(show)
  assert.deepEqual(shown, ['0', '0.0123', '0.5', '10', '12.9', '100', '1234', '10 k', '61.2 k', '1 M', '1.23 M'])
})

test('a missed target is bold, at the one it is measured against', () => {
  const targets = [{ least: 0.8, of: 'rs' }, { least: 1, of: 'nats' }]
  const shown = cells({ name: 'calls', targets }, { rachis: 75, rs: 100, nats: 50 }, 'now')
  assert.equal(shown[column('limit, redis-rs')], '100 (**0.75**)')
  assert.equal(shown[column('NATS (async-nats)')], '50 (1.50)')
  assert.equal(shown[column('target')], '≥ 0.8 × limit, redis-rs, ≥ 1 × NATS')
  assert.equal(cells({ name: 'memory', targets: [{ most: 12 }] }, { rachis: 13 }, 'now')[column('Rachis')], '**13**')
})

test('no target counts as missed against what was not measured', () => {
  const shown = cells({ name: 'calls', targets: [{ least: 1, of: 'nats' }] }, { rachis: 75 }, 'now')
  assert.equal(shown[column('NATS (async-nats)')], '–')
  assert.equal(shown[column('Rachis')], '75')
})

test('a table is read as it was written', () => {
  const rows = [row('one', 1, 'then'), row('two', 2, 'now')]
  assert.deepEqual(parse(markdown(rows).join('\n')), rows)
})

test('a page keeps the rows that were not measured, and the notes of their runs', () => {
  const page = join(folder, 'page.md')
  const marks = ['<!-- figures: written by scripts/bench.sh -->', '<!-- end of figures -->']
  writeFileSync(page, `before\n${marks[0]}\nnothing yet\n${marks[1]}\nafter\n`)
  const order = ['one', 'two', 'three']
  const first = note('2026-01-01 10:00', 'the first')
  update(page, order, [row('three', 3, '2026-01-01 10:00'), row('one', 1, '2026-01-01 10:00')], [first])
  update(page, order, [row('two', 2, '2026-01-02 10:00')], [note('2026-01-02 10:00', 'the second')])
  update(page, order, [row('two', 22, '2026-01-03 10:00')], [note('2026-01-03 10:00', 'the third')])
  const text = readFileSync(page, 'utf8')
  const shown = parse(text).map(cells => [cells[0], cells[column('Rachis')]])
  assert.deepEqual(shown, [['one', '1'], ['two', '22'], ['three', '3']])
  assert(text.startsWith(`before\n${marks[0]}\n\n| figure`) && text.endsWith(`${marks[1]}\nafter\n`), text)
  assert(text.includes(first) && !text.includes('the second') && text.includes('the third'), text)
})

test('a page without its marks stays as it is', () => {
  const page = join(folder, 'other.md')
  writeFileSync(page, 'nothing')
  assert.throws(() => update(page, [], [], []), /lacks the lines/)
  assert.equal(readFileSync(page, 'utf8'), 'nothing')
})
