// Node-to-node calls of a small record, between two processes.
export const about = 'calls between two processes, by 1, 16, 64 and 256 callers'
export const contestants = ['rachis', 'raw', 'rs', 'nats', 'feathers', 'moleculer']

const CALLERS = [1, 16, 64, 256]

const times = (rs, nats, feathers, moleculer) =>
  Object.entries({ rs, nats, feathers, moleculer }).map(([of, least]) => ({ of, least }))

const targets = {
  'rate 64': times(0.8, 1, 1.3, 3),
  'rate 256': times(0.8, 1, 2, 3.5),
  'p50 1': [{ most: 1.2, of: 'rs' }, { most: 1, of: 'nats' }],
  'p99 64': [{ most: 1.5, of: 'rs' }]
}

export const rows = () => [
  ...CALLERS.map(callers => ({ key: `rate ${callers}`, name: `calls/s, callers: ${callers}` })),
  ...CALLERS.map(callers => ({ key: `p50 ${callers}`, name: `p50 µs, callers: ${callers}` })),
  ...CALLERS.map(callers => ({ key: `p99 ${callers}`, name: `p99 µs, callers: ${callers}` }))
].map(row => ({ ...row, targets: targets[row.key] }))

export async function measure (stage, contestant, { seconds }) {
  const service = await contestant.serve(stage)
  const values = { errors: 0 }
  for (const { callers, rate, p50, p99, errors } of await service.call(CALLERS.join(), seconds)) {
    values[`rate ${callers}`] = rate
    values[`p50 ${callers}`] = p50
    values[`p99 ${callers}`] = p99
    values.errors += errors
  }
  return values
}
