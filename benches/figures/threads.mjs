// The same calls where both processes have the runtime that `#[tokio::main]` makes, with a thread for each core, as most
// services and all that compute.
import { availableParallelism } from 'node:os'

export const about = 'calls between two processes with a thread for each core, by 1, 64 and 256 callers'
export const contestants = ['rachis', 'rs', 'nats']

const CALLERS = [1, 64, 256]
const THREADS = availableParallelism()

const nats = callers => callers > 1 && [{ of: 'nats', least: 1 }]

export const rows = () => [
  ...CALLERS.map(callers => ({ key: `rate ${callers}`, name: named('calls/s', callers), targets: nats(callers) })),
  ...CALLERS.map(callers => ({ key: `p50 ${callers}`, name: named('p50 µs', callers) }))
]

const named = (what, callers) => `a thread for each core: ${what}, callers: ${callers}`

export async function measure (stage, contestant, { seconds }) {
  const service = await contestant.serve(stage, { threads: THREADS })
  const values = { errors: 0 }
  for (const { callers, rate, p50, errors } of await service.call(CALLERS.join(), seconds)) {
    values[`rate ${callers}`] = rate
    values[`p50 ${callers}`] = p50
    values.errors += errors
  }
  return values
}
