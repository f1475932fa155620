// A service of the mesh in the shape that adapter checks expect: of an adapter in their own process.

/**
 * Wraps a client's service. Params that no client sends (`paginate`, `adapter`) go as `query.$params`, where the
 * fixture's hook finds them; `options.paginate` and `options.multi` stand for every call, as they would in an adapter.
 */
export function adapter(service, id) {
  const options = {}
  const sent = ({ query = {}, paginate = options.paginate, adapter: overrides = {} } = {}) => {
    const wanted = {}
    if (paginate !== undefined) wanted.paginate = paginate
    const merged = { ...(options.multi !== undefined && { multi: options.multi }), ...overrides }
    if (Object.keys(merged).length) wanted.adapter = merged
    return { query: Object.keys(wanted).length ? { ...query, $params: JSON.stringify(wanted) } : query }
  }
  return {
    id,
    options,
    find: (params) => service.find(sent(params)),
    get: (key, params) => service.get(key, sent(params)),
    create: (data, params) => service.create(data, sent(params)),
    update: (key, data, params) => service.update(key, data, sent(params)),
    patch: (key, data, params) => service.patch(key, data, sent(params)),
    remove: (key, params) => service.remove(key, sent(params))
  }
}
