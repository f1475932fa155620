// Measures everything in one run, the contestants in turn, and prints one table of medians. scripts/bench.sh starts it.
import { execFileSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { contestants } from './contestants.mjs'
import * as calls from './figures/calls.mjs'
import * as discovery from './figures/discovery.mjs'
import * as events from './figures/events.mjs'
import * as http from './figures/http.mjs'
import * as idle from './figures/idle.mjs'
import * as instructions from './figures/instructions.mjs'
import * as large from './figures/large.mjs'
import * as loss from './figures/loss.mjs'
import * as node from './figures/node.mjs'
import * as replicas from './figures/replicas.mjs'
import * as rest from './figures/rest.mjs'
import * as socketio from './figures/socketio.mjs'
import * as start from './figures/start.mjs'
import * as threads from './figures/threads.mjs'
import { help, parse } from './options.mjs'
import { note, update } from './page.mjs'
import { program } from './programs.mjs'
import { staged } from './stage.mjs'
import { cells, markdown, median, show } from './table.mjs'

const groups = { calls, threads, replicas, http, socketio, events, large, discovery, loss, start, rest, node, instructions, idle }
const rivals = Object.keys(contestants).filter(name => name !== 'rachis')
const PAGE = 'docs/performance.md'
// A machine that does more than this by itself measures itself.
const BUSY = 0.3

const say = text => console.error(text)

async function main () {
  const options = parse(groups, rivals)
  if (options.help) return process.stdout.write(help(groups, rivals, PAGE))
  const run = new Date().toISOString().slice(0, 16).replace('T', ' ')
  const [load] = loadavg()
  const how = `rounds: ${options.rounds}, of ${options.seconds} s; ${machine()}; load before it began: ${load.toFixed(2)}`
  const notes = [note(run, how)]
  const tell = text => { notes.push(note(run, text)); say(`!! ${text}`) }
  if (load > BUSY) say(`!! the machine is busy (load ${load.toFixed(2)}): no figure of this run means much`)
  const rows = []
  for (const part of prepare(options, tell)) {
    const seen = await measure(part, options, tell)
    const measured = part.group.rows(options).map(row => [row, medians(seen, row.key)])
    rows.push(...measured.filter(([, values]) => 'rachis' in values).map(([row, values]) => cells(row, values, run)))
  }
  console.log([...markdown(rows), '', ...notes].join('\n'))
  if (!options.write) return say(`\n${PAGE} is left as it is.`)
  const order = Object.values(groups).flatMap(group => group.rows({ quick: false }).map(row => row.name))
  update(PAGE, order, rows, notes)
  say(`\nwritten into ${PAGE}`)
}

// Builds what the groups need. Returns them with those that can take part, and tells of those that can not.
function prepare (options, tell) {
  say('== building what is not built yet')
  const has = (needs, what) => {
    try {
      needs.forEach(program)
      return true
    } catch (error) {
      tell(`${what} is missing: ${error.message}`)
      return false
    }
  }
  const chosen = options.groups.filter(name => has(groups[name].needs ?? [], `the group ${name}`))
  const wanted = ['rachis', ...options.rivals].filter(one => chosen.some(name => groups[name].contestants.includes(one)))
  const present = wanted.filter(one => has(contestants[one].needs, contestants[one].title))
  if (chosen.length > 0 && !present.includes('rachis')) throw new Error('Rachis itself can not be measured')
  return chosen.map(name => {
    const group = groups[name]
    return { name, group, names: present.filter(one => group.contestants.includes(one)) }
  })
}

// Every contestant once a round, each time another one first: a bad moment hits none twice.
async function measure ({ name, group, names }, options, tell) {
  const rounds = group.rounds?.(options.rounds) ?? options.rounds
  const seen = Object.fromEntries(names.map(one => [one, []]))
  for (let round = 0; round < rounds; round++) {
    for (const at of names.keys()) {
      const one = names[(at + round) % names.length]
      const { title } = contestants[one]
      say(`== ${name}, round ${round + 1} of ${rounds}: ${title}`)
      try {
        const { errors = 0, ...figures } = await staged(stage => group.measure(stage, contestants[one], options))
        say(`   ${Object.entries(figures).map(([key, value]) => `${key}: ${show(value)}`).join(', ')}`)
        seen[one].push(figures)
        if (errors > 0) tell(`${errors} calls of ${title} failed in round ${round + 1} of ${name}`)
      } catch (error) {
        tell(`${title} failed in round ${round + 1} of ${name}: ${error.message}`)
      }
    }
  }
  return seen
}

function medians (seen, key) {
  const middles = Object.entries(seen).map(([name, figures]) => [name, median(figures.map(figure => figure[key]))])
  return Object.fromEntries(middles.filter(([, value]) => Number.isFinite(value)))
}

function machine () {
  const said = (command, ...words) => {
    try {
      return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    } catch {
      return 'unknown'
    }
  }
  const redis = /v=(\S+)/.exec(said('redis-server', '--version'))?.[1] ?? 'unknown'
  const [{ model }] = cpus()
  return [
    `commit ${said('git', 'describe', '--always', '--dirty')}`,
    `${cpus().length} cores (${model.trim()})`,
    `Redis ${redis}`,
    `Node.js ${process.versions.node}`
  ].join(', ')
}

process.on('SIGINT', () => process.exit(130))
process.on('SIGTERM', () => process.exit(143))
try {
  await main()
  process.exit(0)
} catch (error) {
  say(`error: ${error.message}`)
  process.exit(1)
}
