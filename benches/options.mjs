// What was typed, and what it means.
import { parseArgs } from 'node:util'

const known = {
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  against: { type: 'string' },
  quick: { type: 'boolean' },
  'no-write': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' }
}

// `groups` is what each measures by name; `rivals` are the names of what can be compared.
export function parse (groups, rivals) {
  const { values, positionals } = parseArgs({ options: known, allowPositionals: true })
  const { quick = false, against = rivals.join(), help = false } = values
  const names = Object.keys(groups)
  return {
    help,
    groups: positionals.length === 0 ? names : some(positionals, names, 'the group'),
    rivals: some(against.split(',').filter(name => name !== 'none'), rivals, '--against'),
    rounds: positive('rounds', values.rounds ?? (quick ? '1' : '5'), Number.isInteger),
    seconds: positive('seconds', values.seconds ?? (quick ? '0.5' : '2'), Number.isFinite),
    quick,
    // A row with half its columns, or of half a second, is not what the page promises.
    write: !quick && !values['no-write'] && values.against === undefined
  }
}

export function help (groups, rivals, page) {
  return `Measures Rachis, the limit of its design and its peers in turn, and prints one table of medians.

  scripts/bench.sh [GROUP...] [OPTION...]

Every group by default; all of it takes about 25 minutes on two quiet cores, the first build not counted:

${Object.entries(groups).map(([name, { about }]) => `  ${name.padEnd(14)}${about}`).join('\n')}

Options:

  --rounds N      how often each contestant has its turn (5)
  --seconds N     how long each measurement lasts (2)
  --against LIST  what is compared, of ${rivals.join(',')}; or none (all); writes nothing
  --quick         one short round, to see that it works; writes nothing
  --no-write      leaves ${page} as it is
  --help          this

The table goes to stdout and into ${page}, where the rows that were not measured stay as they are. What
is missing on this machine is said below the table, and what needs it has no figures.
`
}

function some (chosen, all, what) {
  const unknown = chosen.find(name => !all.includes(name))
  if (unknown !== undefined) throw new Error(`${what} ${unknown} is unknown: take some of ${all.join(', ')}`)
  return all.filter(name => chosen.includes(name))
}

function positive (name, text, fits) {
  const number = Number(text)
  if (!fits(number) || number <= 0) throw new Error(`--${name} ${text}: give a number above 0`)
  return number
}
