// Measures everything in one run, the contestants in turn and several rounds, and prints tables of medians.
// Started by scripts/bench.sh, which builds the programs; options are explained there.
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import * as calls from './figures/calls.mjs'
import * as http from './figures/http.mjs'
import * as mesh from './figures/mesh.mjs'
import { endAll } from './process.mjs'

const options = JSON.parse(process.argv[2])
const wanted = name => options.only.length === 0 || options.only.includes(name)
const say = text => console.error(text)
const median = list => { const sorted = [...list].sort((a, b) => a - b); return sorted[Math.floor(sorted.length / 2)] }
const thousands = number => number >= 1000 ? `${(number / 1000).toFixed(number >= 10000 ? 0 : 1)} k` : number.toFixed(0)
const table = (header, rows) => [header, header.map(() => '---'), ...rows].map(row => `| ${row.join(' | ')} |`).join('\n')

process.on('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(130))

// Every contestant once a round, the order turned each time, so that a slow minute hits nobody twice.
async function rounds (contestants, keep) {
  const names = Object.keys(contestants).filter(name => contestants[name])
  for (let round = 0; round < options.rounds; round++) {
    const order = names.map((_, at) => names[(at + round) % names.length])
    for (const name of order) {
      say(`   round ${round + 1} of ${options.rounds}: ${name}`)
      keep(name, await contestants[name]())
    }
  }
  return names
}

async function callTable () {
  const seen = {}
  const names = await rounds(calls.contestants(options), (name, figures) => {
    for (const figure of figures) ((seen[name] ??= {})[figure.callers] ??= []).push(figure)
  })
  const middle = (name, callers, what) => median((seen[name]?.[callers] ?? []).map(figure => figure[what]))
  const cell = (name, callers) => {
    const rate = middle(name, callers, 'rate')
    if (rate === undefined) return '-'
    return `${thousands(rate)} (${middle(name, callers, 'p50').toFixed(0)} / ${middle(name, callers, 'p99').toFixed(0)})`
  }
  const rates = table(['callers', ...names], calls.CALLERS.map(callers => [callers, ...names.map(name => cell(name, callers))]))
  const others = names.filter(name => name !== 'Rachis')
  const ratio = (what, name, callers) => {
    // Of figures of the same round, then the middle one: what the machine did to both falls out.
    const pairs = seen.Rachis[callers].map((figure, round) => figure[what] / (seen[name]?.[callers]?.[round]?.[what] ?? NaN))
    const middle = median(pairs.filter(Number.isFinite))
    return middle === undefined ? '-' : middle.toFixed(2)
  }
  const ratios = table(['Rachis against', ...calls.CALLERS.map(callers => `calls/s at ${callers}`), 'p50 at 1', 'p99 at 64'],
    others.map(name => [name, ...calls.CALLERS.map(callers => ratio('rate', name, callers)), ratio('p50', name, 1), ratio('p99', name, 64)]))
  const errors = names.flatMap(name => Object.values(seen[name] ?? {}).flat()).reduce((sum, figure) => sum + figure.errors, 0)
  return `### Calls between two processes\n\nCalls a second (p50 / p99 in µs), medians of ${options.rounds} rounds; ${errors} calls failed.\n\n${rates}\n\n${ratios}`
}

async function httpTable () {
  const seen = {}
  const names = await rounds(http.contestants(options), (name, figure) => (seen[name] ??= []).push(figure))
  const middle = (name, what) => median(seen[name].map(figure => figure[what]))
  const ratio = name => median(seen['Rachis gateway'].map((figure, round) => figure.rate / seen[name][round].rate)).toFixed(1)
  const rows = names.map(name => [name, thousands(middle(name, 'rate')), middle(name, 'p50'), middle(name, 'p99'), middle(name, 'errors'), name === 'Rachis gateway' ? '' : ratio(name)])
  return `### REST gateway\n\nwrk, 64 connections, the service in another process.\n\n${table(['gateway', 'requests/s', 'p50 µs', 'p99 µs', 'failed', 'Rachis is faster by'], rows)}`
}

async function eventTable () {
  const rows = []
  for (const nodes of [1, 4, 16]) {
    say(`   events to ${nodes} nodes`)
    const figure = await mesh.events(options, nodes)
    rows.push([nodes, thousands(figure.rate), figure.p50, figure.p99, `${figure.heard} of ${figure.expected}`, figure.resyncs])
  }
  return `### Events\n\nAs fast as one node fires them, to nodes that share one process.\n\n${table(['nodes', 'deliveries/s', 'p50 µs', 'p99 µs', 'heard', 'resyncs'], rows)}`
}

async function discoveryTable () {
  const figure = await mesh.discovery(options)
  const rows = [['registered → answered on another node', figure.callable], ['taken away → not found there', figure.gone]]
  return `### Discovery\n\n${table(['', 'p50 ms', 'p99 ms'], rows.map(([name, { p50, p99 }]) => [name, (p50 / 1000).toFixed(1), (p99 / 1000).toFixed(1)]))}`
}

async function idleTable () {
  const rows = []
  for (const nodes of options.fleets) {
    say(`   ${nodes} idle nodes`)
    const f = await mesh.fleet(options, nodes)
    rows.push([nodes, f.commands.toFixed(0), (f.bytes / 1000).toFixed(1), `${(f.redis_cpu * 100).toFixed(2)} %`, `${(f.node_cpu * 100).toFixed(3)} %`, f.node_kib.toFixed(0), f.restart_redis_seconds.toFixed(1)])
  }
  return `### An idle mesh\n\nAll nodes in one process, each with one service, defaults.\n\n${table(['nodes', 'commands a node and minute', 'kB a node and minute', 'Redis CPU', 'CPU a node', 'KiB a node', 'Redis CPU s for a restart of all'], rows)}`
}

async function largeTable () {
  const f = await mesh.large(options)
  return `### Large answers\n\n16 callers of a small record, alone and beside 20 pages of 1 MB a second (${f.pages} pages, the slowest ${f.slowest_page_ms} ms).\n\n${table(['', 'p50 µs', 'p99 µs'], [['alone', f.alone.p50, f.alone.p99], ['beside', f.beside.p50, f.beside.p99]])}`
}

async function gatewayTable () {
  const f = await mesh.gateway(options)
  const mib = kib => `${(kib / 1024).toFixed(1)} MiB`
  const rows = [
    ['start to first answer through the mesh', `${f.start_ms.toFixed(0)} ms`],
    ['memory at rest', mib(f.rest_kib)],
    ['CPU at rest', `${(f.rest_cpu * 100).toFixed(2)} % of a core`],
    ['memory after a load of 64 connections', mib(f.loaded_kib)],
    ['size of the `rachis` binary', mib(f.binary_bytes / 1024)]
  ]
  return `### One gateway\n\n${table(['', ''], rows)}`
}

const sections = { calls: callTable, http: httpTable, events: eventTable, discovery: discoveryTable, idle: idleTable, large: largeTable, gateway: gatewayTable }
const parts = []
for (const [name, section] of Object.entries(sections)) {
  if (!wanted(name)) continue
  say(`== ${name}`)
  const text = await section()
  console.log(`${text}\n`)
  parts.push(text)
}
if (options.write) {
  const marks = ['<!-- figures: written by scripts/bench.sh -->', '<!-- end of figures -->']
  const page = readFileSync(options.write, 'utf8')
  const [head, rest] = page.split(marks[0])
  const tail = rest.split(marks[1])[1]
  const machine = `Measured ${new Date().toISOString().slice(0, 10)} on ${cpus().length} cores (${cpus()[0].model.trim()}), ${options.rounds} rounds of ${options.seconds} s a cell.`
  writeFileSync(options.write, `${head}${marks[0]}\n\n${machine}\n\n${parts.join('\n\n')}\n\n${marks[1]}${tail}`)
}
process.exit(0)
