// Fires when the heating should change: off when light and CO2 say that the room is empty and the phone and its planner
// say that its owner is away; on again when someone is back.
(event, source, type, ctx) => {
  const { light, co2 } = event.properties;
  const before = ctx.state.co2 ?? co2;
  ctx.state.co2 = before + 0.2 * (co2 - before);
  const dark = light < 200;
  const stale = co2 <= ctx.state.co2 + 5;
  const phone = ctx.last("phone", "presence");
  const planner = ctx.last("phone", "planner");
  const away = phone?.properties.here === false || planner?.properties.away === true;
  ctx.state.wanted = !(dark && stale && away);
  return ctx.state.wanted !== (ctx.state.heating ?? null);
}
