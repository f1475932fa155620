// Measures everything in one run, the contestants in turn, and prints one table of medians. Started by scripts/bench.sh.
import { execFileSync } from 'node:child_process'
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { contestants } from './contestants.mjs'
import * as calls from './figures/calls.mjs'
import * as discovery from './figures/discovery.mjs'
import * as events from './figures/events.mjs'
import * as http from './figures/http.mjs'
import * as idle from './figures/idle.mjs'
import * as instructions from './figures/instructions.mjs'
import * as large from './figures/large.mjs'
import * as loss from './figures/loss.mjs'
import * as replicas from './figures/replicas.mjs'
import * as rest from './figures/rest.mjs'
import * as socketio from './figures/socketio.mjs'
import { note, update } from './page.mjs'
import { program } from './programs.mjs'
import { staged } from './stage.mjs'
import { cells, markdown, median, show } from './table.mjs'

const groups = { calls, replicas, http, socketio, events, large, discovery, loss, rest, instructions, idle }
const PAGE = 'docs/performance.md'
// A machine that does more than this by itself measures itself.
const BUSY = 0.3

const help = `Measures Rachis, the limit of its design and its peers in turn, and prints one table of medians.

  scripts/bench.sh [GROUP...] [OPTION...]

Each group by default; all of it takes about 25 minutes on two quiet cores, the first build not counted:

${Object.entries(groups).map(([name, { about }]) => `  ${name.padEnd(14)}${about}`).join('\n')}

Options:

  --rounds N      how often each contestant has its turn (5)
  --seconds N     how long each measurement lasts (2)
  --against LIST  who is compared, of ${Object.keys(contestants).slice(1).join(', ')}; or none (all)
  --quick         one short round, to see that it works; writes nothing
  --no-write      leaves ${PAGE} as it is
  --help          this

The table goes to stdout and into ${PAGE}, where the rows that were not measured stay as they are. What a contestant
needs and this machine lacks is said below the table, and its column stays empty.
`

const say = text => console.error(text)

function parse () {
  const options = {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    against: { type: 'string' },
    quick: { type: 'boolean' },
    'no-write': { type: 'boolean' },
    help: { type: 'boolean', short: 'h' }
  }
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  if (values.help) {
    process.stdout.write(help)
    process.exit(0)
  }
  const unknown = positionals.find(name => !(name in groups))
  if (unknown !== undefined) throw new Error(`there is no group ${unknown}: take some of ${Object.keys(groups).join(', ')}`)
  return {
    chosen: Object.keys(groups).filter(name => positionals.length === 0 || positionals.includes(name)),
    names: ['rachis', ...rivals(values.against)],
    rounds: positive('rounds', values.rounds ?? (values.quick ? '1' : '5'), Number.isInteger),
    seconds: positive('seconds', values.seconds ?? (values.quick ? '0.5' : '2'), Number.isFinite),
    quick: values.quick,
    // A row with half its columns, or of half a second, is not what the page promises.
    write: !values.quick && !values['no-write'] && values.against === undefined
  }
}

function rivals (list) {
  const all = Object.keys(contestants).slice(1)
  if (list === undefined) return all
  const some = list.split(',').filter(name => name !== 'none')
  const unknown = some.find(name => !all.includes(name))
  if (unknown !== undefined) throw new Error(`--against ${unknown}: take some of ${all.join(', ')}, or none`)
  return some
}

function positive (name, text, fits) {
  const number = Number(text)
  if (!fits(number) || number <= 0) throw new Error(`--${name} ${text}: give a number above 0`)
  return number
}

// Builds what the groups need. Returns who can take part in each; tells of those who cannot.
function prepare ({ chosen, names }, tell) {
  say('== building what is not built yet')
  const able = (needs, what) => {
    try {
      needs.forEach(program)
      return true
    } catch (error) {
      tell(`${what} is missing: ${error.message}`)
      return false
    }
  }
  const present = names.filter(name => able(contestants[name].needs, contestants[name].title))
  if (!present.includes('rachis')) throw new Error('Rachis itself can not be measured')
  const ready = chosen.filter(name => able(groups[name].needs ?? [], `the group ${name}`))
  return ready.map(name => ({ name, group: groups[name], names: present.filter(one => groups[name].contestants.includes(one)) }))
}

// Every contestant once a round, the first one another each time: a bad moment hits nobody twice.
async function measure ({ name, group, names }, options, tell) {
  const rounds = group.rounds?.(options.rounds) ?? options.rounds
  const seen = Object.fromEntries(names.map(one => [one, []]))
  for (let round = 0; round < rounds; round++) {
    for (const at of names.keys()) {
      const one = names[(at + round) % names.length]
      say(`== ${name}, round ${round + 1} of ${rounds}: ${contestants[one].title}`)
      try {
        const figures = await staged(stage => group.measure(stage, contestants[one], options))
        seen[one].push(figures)
        say(`   ${Object.entries(figures).map(([key, value]) => `${key}: ${show(value)}`).join(', ')}`)
        if (figures.errors > 0) tell(`${figures.errors} calls of ${contestants[one].title} failed in ${name}`)
      } catch (error) {
        say(`   failed: ${error.message}`)
        tell(`${contestants[one].title} failed in round ${round + 1} of ${name}: ${error.message}`)
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
  const version = (command, words) => {
    try {
      return execFileSync(command, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
    } catch {
      return '?'
    }
  }
  const redis = /v=(\S+)/.exec(version('redis-server', ['--version']))?.[1] ?? '?'
  const commit = version('git', ['describe', '--always', '--dirty'])
  return `${commit}, ${cpus().length} cores (${cpus()[0].model.trim()}), Redis ${redis}, Node.js ${process.versions.node}`
}

async function main () {
  const options = parse()
  const run = new Date().toISOString().slice(0, 16).replace('T', ' ')
  const [load] = loadavg()
  const notes = [
    note(run, `rounds: ${options.rounds}, of ${options.seconds} s; ${machine()}; load before it began: ${load.toFixed(2)}`)
  ]
  const tell = text => { notes.push(note(run, text)); say(`!! ${text}`) }
  const ready = prepare(options, tell)
  if (load > BUSY) say(`!! the machine is busy (load ${load.toFixed(2)}): no figure of this run means much`)
  const rows = []
  for (const one of ready) {
    const seen = await measure(one, options, tell)
    const measured = one.group.rows(options).map(row => ({ row, values: medians(seen, row.key) }))
    rows.push(...measured.filter(({ values }) => 'rachis' in values).map(({ row, values }) => cells(row, values, run)))
  }
  console.log([...markdown(rows), '', ...notes].join('\n'))
  if (!options.write) return say(`\n${PAGE} is left as it is.`)
  const order = Object.values(groups).flatMap(group => group.rows({ quick: false }).map(row => row.name))
  update(PAGE, order, rows, notes)
  say(`\nwritten into ${PAGE}`)
}

for (const [signal, code] of [['SIGINT', 130], ['SIGTERM', 143]]) process.on(signal, () => process.exit(code))
try {
  await main()
  process.exit(0)
} catch (error) {
  say(`error: ${error.message}`)
  process.exit(1)
}
