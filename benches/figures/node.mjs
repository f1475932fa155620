// Calls between Feathers applications in Node.js, and between those and Rust; and what being on the mesh takes of memory.
import { appAtRest } from '../contestants.mjs'
import { sleep, staged } from '../stage.mjs'

export const about = 'Feathers applications in Node.js, and calls between Node.js and Rust'
export const contestants = ['rachis', 'feathers']

const CALLERS = [1, 64, 256]

const targets = {
  'feathers rate 64': [{ of: 'feathers', least: 0.8 }],
  'feathers rate 256': [{ of: 'feathers', least: 1.1 }],
  'feathers p50 1': [{ most: 2, of: 'feathers' }]
}

// Of Feathers' peer there is only the first: it knows no Rust.
const ways = { feathers: 'Node → Node', toNode: 'Rust → Node', toRust: 'Node → Rust' }

const MEMORY = {
  key: 'memory',
  name: 'memory of a Feathers app at rest beyond that of one without a plugin, MiB',
  targets: [{ most: 15 }]
}

export const rows = () => [
  ...Object.entries(ways).flatMap(([way, name]) => [
    ...CALLERS.map(callers => ({ key: `${way} rate ${callers}`, name: `${name}, calls/s, callers: ${callers}` })),
    { key: `${way} p50 1`, name: `${name}, p50 µs, callers: 1` }
  ]).map(row => ({ ...row, targets: targets[row.key] })),
  MEMORY
]

export async function measure (stage, contestant, { seconds }) {
  const values = { errors: 0 }
  for (const [way, call] of Object.entries(await contestant.node(stage))) {
    for (const { callers, rate, p50, errors } of await call(CALLERS.join(), seconds)) {
      values[`${way} rate ${callers}`] = rate
      if (callers === 1) values[`${way} p50 1`] = p50
      values.errors += errors
    }
  }
  // What is called above takes its time meanwhile.
  await stage.clear()
  const withPlugin = await memory(contestant.atRest)
  const without = await memory(on => appAtRest(on, { PLUGIN: 'none' }))
  return { ...values, memory: withPlugin - without }
}

// Of an application that has had time to join.
const memory = start => staged(async stage => {
  const app = await start(stage)
  await sleep(3000)
  return app.usage().memory
})
