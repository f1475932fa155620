// The same call over REST: wrk against a gateway whose service is another process.
export const about = 'the REST gateway, by 64 connections of wrk'
export const contestants = ['rachis', 'feathers', 'moleculer']
export const needs = ['wrk', 'rachis']

const CONNECTIONS = 64

export const rows = () => [
  {
    key: 'rate',
    name: `REST: requests/s, connections: ${CONNECTIONS}`,
    targets: [{ least: 5, of: 'feathers' }, { least: 3, of: 'moleculer' }]
  },
  { key: 'p50', name: `REST: p50 µs, connections: ${CONNECTIONS}` },
  { key: 'p99', name: `REST: p99 µs, connections: ${CONNECTIONS}` }
]

export async function measure (stage, contestant, { seconds }) {
  const service = await contestant.serve(stage)
  return wrk(stage, await service.gateway(), seconds)
}

// Loads a gateway. The first second warms it up; wrk takes whole ones.
export async function wrk (stage, url, seconds) {
  const load = time => stage.output('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${time}s`, '--latency', `${url}/echo/1`])
  await load(1)
  const text = await load(Math.ceil(seconds))
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)[1]),
    p50: micros(/^ +50% +(\S+)/m.exec(text)[1]),
    p99: micros(/^ +99% +(\S+)/m.exec(text)[1]),
    errors: numbers(/responses: (.*)/.exec(text)) + numbers(/Socket errors: (.*)/.exec(text))
  }
}

// The sum of `connect 0, read 2, write 0, timeout 1`, where it is said.
function numbers (line) {
  return (line?.[1].match(/\d+/g) ?? []).reduce((sum, number) => sum + Number(number), 0)
}

// `812.00us`, `3.10ms` or `1.02s`.
function micros (text) {
  const [, number, unit] = /([\d.]+)(us|ms|s)/.exec(text)
  return Number(number) * { us: 1, ms: 1e3, s: 1e6 }[unit]
}
